//! What the Compose stack is made of.
//!
//! Always true: as its parent. The mode of TLS is what somebody said, never what files there are.
//!
//! Does not: name files (agnes-ops does).

/// The stack of runtime compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// `AGNES_OVERLAYS`: each once, in the order of [`Overlay`] (default production and host-mount).
    pub overlays: Vec<Overlay>,
    /// `TLS_MODE`.
    pub tls_mode: TlsMode,
    /// `AGNES_IMAGE` (default `agnes`): registry and repository, without tag and digest.
    pub image: String,
    /// `AGNES_TAG` (default `stable`).
    pub tag: String,
}

/// A part besides the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overlay {
    /// `prod`: limits and log rotation.
    Prod,
    /// `host-mount`: the data on the host's own disk.
    HostMount,
    /// `dev`: built from a checkout, without secrets; never beside `prod`.
    Dev,
    /// `monitoring`: Prometheus, Alertmanager and Grafana.
    Monitoring,
}

impl Overlay {
    /// All of them, in the order in which they are laid over each other.
    pub const ALL: [Self; 4] = [Self::Prod, Self::HostMount, Self::Dev, Self::Monitoring];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::HostMount => "host-mount",
            Self::Dev => "dev",
            Self::Monitoring => "monitoring",
        }
    }
}

/// `TLS_MODE`: where the proxy's certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// `none`: the proxy speaks plain HTTP.
    #[default]
    None,
    /// `files`: the pair in `$STATE_DIR/certs`.
    Files,
    /// `acme`: the proxy gets one itself.
    Acme,
    /// `internal`: the proxy's own authority.
    Internal,
}

impl TlsMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Files, Self::Acme, Self::Internal];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Files => "files",
            Self::Acme => "acme",
            Self::Internal => "internal",
        }
    }
}
