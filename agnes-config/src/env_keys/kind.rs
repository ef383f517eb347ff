//! The shapes of values, and what people are told to write.
//!
//! Always true: a shape has one sentence, which stands behind every "expected".
//!
//! Does not: parse (that is `values`).

/// Shapes of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `config_version`.
    Version,
    /// `compose` or `process`.
    Runtime,
    /// One DNS name.
    Domain,
    /// Several DNS names.
    Domains,
    /// An `https`, `sm`, `gs` or `file` URL.
    SourceUrl,
    /// A certificate subject in slashes.
    Subject,
    /// A path.
    Path,
    /// An address to listen on.
    Listen,
    /// `host:port` or `none`.
    Served,
    /// A key type.
    KeyType,
    /// `uid:gid`.
    Owner,
    /// A tracing filter.
    LogLevel,
    /// An `https` URL, or `http` on loopback.
    Endpoint,
    /// A Google Cloud project.
    Project,
    /// A length of time.
    Duration,
    /// A number of bytes.
    Size,
    /// The size of a file that is taken.
    Upload,
    /// `[[tls.reload]]`.
    Reload,
    /// An address to listen on, or nothing on purpose.
    Metrics,
    /// Networks.
    Nets,
    /// Web origins.
    Origins,
    /// One web origin.
    Origin,
    /// A client's name at an OpenID provider.
    ClientId,
    /// Where an OpenID provider says which groups somebody is in.
    OidcGroups,
    /// An image's digest.
    Digest,
    /// An e-mail address.
    Email,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Count,
    /// An amount of memory.
    Memory,
    /// `[[jobs]]`.
    Jobs,
    /// `[secrets.NAME]`.
    Secrets,
    /// Parts of the Compose stack.
    Overlays,
    /// An image without its tag.
    Image,
    /// An image's tag.
    Tag,
    /// Where the proxy's certificate comes from.
    TlsMode,
    /// Caddy's `tls` directive.
    CaddyTls,
    /// Who begins an upgrade.
    UpgradeMode,
    /// Days and a time of day.
    Window,
    /// A time zone.
    Timezone,
    /// Paths on the server.
    Probes,
    /// A place for snapshots.
    Remote,
    /// Recipients of age.
    Recipients,
    /// E-mail addresses.
    Emails,
    /// The name or the address of a mail server.
    MailHost,
    /// A port.
    Port,
    /// How the way to a mail server is protected.
    MailTls,
    /// Who signs in there.
    MailUser,
    /// A text that is never shown.
    Secret,
}

impl Kind {
    /// What a value of this shape looks like, to stand behind "expected".
    pub fn expected(self) -> &'static str {
        match self {
            Self::Version => "1",
            Self::Runtime => "compose or process",
            Self::Domain => "a DNS name such as agnes.example.com",
            Self::Domains => "DNS names, separated by commas or spaces; in agnes.toml also a list",
            Self::SourceUrl => "https://…, sm://secret, gs://bucket/object or file:///path",
            Self::Subject => {
                "/C=US/ST=Illinois/L=Chicago/O=Your Org/CN=agnes.example.com; / and \\ in a value as \\/ and \\\\"
            }
            Self::Path => "a path; a relative one starts at the deployment's directory",
            Self::Listen => "an address and a port such as 127.0.0.1:8000 or [::1]:8000",
            Self::Served => "host:port such as 127.0.0.1:443 or [::1]:443, or none",
            Self::KeyType => "rsa-2048, rsa-3072, rsa-4096, ecdsa-p256 or ecdsa-p384",
            Self::Owner => "numbers, uid:gid such as 1000:1000",
            Self::LogLevel => {
                "error, warn, info, debug, trace or off, or a list such as info,agnes_ops=debug"
            }
            Self::Endpoint => {
                "an https:// URL, or http:// on loopback, without user, query or fragment"
            }
            Self::Project => "a project id such as example-project, or a project number",
            Self::Duration => "a whole number and a unit such as 500ms, 25s, 2m or 1h",
            Self::Size => "a whole number and a unit such as 1000B, 64KiB or 1MiB",
            Self::Reload => {
                "[[tls.reload]] tables with kind = signal, caddy-admin, command or restart"
            }
            Self::Metrics => "an address and a port such as 127.0.0.1:9464, or off",
            Self::Nets => {
                "networks such as 192.0.2.0/24 or single addresses, separated by commas or spaces; in agnes.toml also a list"
            }
            Self::Origins => {
                "origins such as https://app.example.com, separated by commas or spaces; in agnes.toml also a list"
            }
            Self::Origin => "an origin such as https://agnes.example.com, without a path",
            Self::ClientId => "a name without spaces, at most 256 characters",
            Self::OidcGroups => {
                "claim: and the name of a claim, such as claim:groups, or google-cloud-identity"
            }
            Self::Digest => "sha256: and 64 hexadecimal digits",
            Self::Email => "an address such as admin@example.com",
            Self::Truth => "true or false",
            Self::Count => "a whole number",
            Self::Upload => "a whole number and a unit such as 500MiB or 4GiB",
            Self::Memory => "a whole number and a unit such as 512MiB or 2GiB",
            Self::Jobs => "[[jobs]] tables with name, schedule and path or url",
            Self::Secrets => "[secrets.NAME] tables with source, required and publish",
            Self::Overlays => {
                "prod, host-mount, dev and monitoring, separated by commas or spaces, or base alone; in agnes.toml also a list"
            }
            Self::Image => {
                "an image without tag and digest such as registry.example.com/team/agnes"
            }
            Self::Tag => "a tag such as stable or 1.4.2",
            Self::TlsMode => "none, files, acme or internal",
            Self::CaddyTls => {
                "tls you@example.com, tls internal or tls /certs/fullchain.pem /certs/privkey.pem"
            }
            Self::UpgradeMode => "auto, manual or off",
            Self::Window => {
                "days and a span such as Mon..Fri 02:00-05:00, Sat,Sun 22:00-02:00 or 02:00-05:00"
            }
            Self::Timezone => "a name of the IANA database such as UTC or Europe/Berlin",
            Self::Probes => {
                "paths such as /api/health, separated by commas or spaces; in agnes.toml also a list"
            }
            Self::Remote => "gs://bucket/prefix or file:///directory",
            Self::Recipients => {
                "public keys such as age1…, separated by commas or spaces; in agnes.toml also a list"
            }
            Self::Emails => {
                "addresses such as oncall@example.com, separated by commas or spaces; in agnes.toml also a list"
            }
            Self::MailHost => "a DNS name or an address such as smtp.example.com or 192.0.2.25",
            Self::Port => "a number from 1 to 65535",
            Self::MailTls => "starttls, tls or none",
            Self::MailUser => "a name such as agnes@example.com, at most 256 characters",
            Self::Secret => "a text",
        }
    }
}
