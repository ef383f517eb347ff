variable "agnes_ops_url" {
  description = "Where the host fetches agnes-ops: https://… or gs://bucket/object (with the machine's own token)."
  type        = string

  validation {
    condition     = can(regex("^(https|gs)://[A-Za-z0-9./_:%+=-]+$", var.agnes_ops_url))
    error_message = "agnes_ops_url is https://… or gs://…, of letters, digits and ./_:%+=- alone, and so without a user or a password."
  }
}

variable "agnes_ops_sha256" {
  description = "SHA-256 of that file, 64 lower-case hexadecimal digits; anything else that is served there is not run."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.agnes_ops_sha256))
    error_message = "agnes_ops_sha256 is 64 lower-case hexadecimal digits."
  }
}

variable "instance" {
  description = "What the host is: keys of docs/configuration.md under names of their own. Whatever is null is left to the default of agnes-ops."
  type = object({
    domain                  = string                                                                    # The DNS name that it answers for (DOMAIN).
    domain_aliases          = optional(list(string), [])                                                # Further names, which send everybody to domain (DOMAIN_ALIAS).
    image                   = optional(string)                                                          # The image's name, without a tag (AGNES_IMAGE); without one the first boot ends at its image step.
    image_tag               = optional(string, "stable")                                                # The tag that upgrades follow (AGNES_TAG).
    image_digest            = optional(string)                                                          # Pins one image, sha256:…; upgrades follow no tag then (upgrade.digest).
    upgrade_mode            = optional(string, "auto")                                                  # auto, manual or off (upgrade.mode).
    upgrade_window          = optional(string)                                                          # When upgrades may happen, such as Mon..Fri 02:00-05:00; null: at any time (upgrade.window).
    upgrade_timezone        = optional(string)                                                          # The time zone of the window; null: UTC (upgrade.timezone).
    tls_mode                = optional(string, "files")                                                 # files, acme, internal or none (TLS_MODE).
    tls_acme_email          = optional(string)                                                          # Whom the CA writes to; with tls_mode acme, and with no other.
    tls_fullchain_url       = optional(string)                                                          # Where the chain is published: https://, sm://, gs:// or file:// (TLS_FULLCHAIN_URL).
    tls_privkey_url         = optional(string)                                                          # Where the key is, when it is not made on the host (TLS_PRIVKEY_URL).
    tls_csr_subject         = optional(string)                                                          # The subject of the request for a certificate, such as /C=US/O=Your Org/CN=agnes.example.com (TLS_CSR_SUBJECT).
    overlays                = optional(list(string))                                                    # Parts of the stack: prod, host-mount, dev, monitoring; null: prod and host-mount; none: the base alone (AGNES_OVERLAYS).
    seed_admin_email        = optional(string)                                                          # The one address that may claim the first administrator (SEED_ADMIN_EMAIL).
    data_device             = optional(string, "/dev/disk/by-id/google-agnes-data")                     # The data disk's name on the host (host.data_device).
    format_blank            = optional(bool, true)                                                      # Whether a disk that is proven blank may be formatted (host.format_blank).
    install_docker          = optional(bool, true)                                                      # Whether the distribution's Docker may be installed (host.install_docker).
    snapshot_push_to        = optional(string)                                                          # Where snapshots are copied to: gs://bucket/prefix or file:///directory (snapshot.push_to).
    snapshot_age_recipients = optional(list(string), [])                                                # Public keys of age that snapshots are sealed to (snapshot.age_recipients).
    secrets                 = optional(map(object({ source = string, required = optional(bool) })), {}) # Further secrets by the name of their variable; jwt, session and scheduler may be taken from a manager too.
    env                     = optional(map(string), {})                                                 # Further lines of .env; of two that say one thing this one counts.
  })

  validation {
    condition     = contains(["auto", "manual", "off"], var.instance.upgrade_mode)
    error_message = "upgrade_mode is auto, manual or off."
  }
  validation {
    condition     = contains(["none", "files", "acme", "internal"], var.instance.tls_mode)
    error_message = "tls_mode is none, files, acme or internal."
  }
  validation {
    condition     = (var.instance.tls_mode == "acme") == (var.instance.tls_acme_email != null)
    error_message = "tls_acme_email goes with tls_mode = \"acme\", and with nothing else."
  }
  validation {
    condition     = var.instance.tls_acme_email == null || can(regex("^[A-Za-z0-9_%+-]+([.][A-Za-z0-9_%+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", var.instance.tls_acme_email))
    error_message = "tls_acme_email is an address such as you@example.com."
  }
  validation {
    condition = alltrue([for name in concat([var.instance.domain], var.instance.domain_aliases) :
      length(name) <= 253 && can(regex("^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])+([A-Za-z]|[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9])$", name)) && !can(regex("[.][0-9]+$", name))
    ])
    error_message = "domain and domain_aliases are DNS names such as agnes.example.com."
  }
  validation {
    condition     = var.instance.image == null || can(regex("^(([A-Za-z0-9-]+([.][A-Za-z0-9-]+)+(:[0-9]{1,5})?|[A-Za-z0-9-]+:[0-9]{1,5}|localhost)/)?[a-z0-9]([a-z0-9._-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$", var.instance.image))
    error_message = "image is an image's name such as registry.example.com/team/agnes, without a tag or a digest: those are image_tag and image_digest."
  }
  validation {
    condition     = var.instance.upgrade_window == null || can(regex("^([A-Z][a-z]{2}([.][.][A-Z][a-z]{2})?(,[A-Z][a-z]{2}([.][.][A-Z][a-z]{2})?)* )?([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]:[0-5][0-9]|2[0-3]:[0-5][0-9]|24:00)$", var.instance.upgrade_window))
    error_message = "upgrade_window is days and times such as Mon..Fri 02:00-05:00."
  }
  validation {
    condition     = alltrue([for day in regexall("[A-Z][a-z]{2}", coalesce(var.instance.upgrade_window, "Mon")) : contains(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], day)])
    error_message = "upgrade_window has a day that is none of Mon, Tue, Wed, Thu, Fri, Sat, Sun."
  }
  validation {
    condition     = var.instance.upgrade_timezone == null || can(regex("^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", var.instance.upgrade_timezone))
    error_message = "upgrade_timezone is a time zone of the IANA database such as Europe/Prague."
  }
  validation {
    condition     = length(setsubtract(coalesce(var.instance.overlays, []), ["prod", "host-mount", "dev", "monitoring"])) == 0
    error_message = "overlays are some of prod, host-mount, dev and monitoring."
  }
  validation {
    condition     = !(contains(coalesce(var.instance.overlays, []), "prod") && contains(coalesce(var.instance.overlays, []), "dev"))
    error_message = "overlays prod and dev exclude each other."
  }
  validation {
    condition     = var.instance.tls_csr_subject == null || can(regex("^(/(C=[A-Z]{2}|(ST|L)=([^/\\\\]|\\\\[/\\\\]){1,128}|(O|OU|CN|serialNumber)=([^/\\\\]|\\\\[/\\\\]){1,64}|emailAddress=[^/\\\\]{1,255}))+$", var.instance.tls_csr_subject))
    error_message = "tls_csr_subject is a distinguished name in slashes such as /C=US/O=Your Org/CN=agnes.example.com."
  }
  validation {
    condition     = alltrue([for name in ["C", "CN", "emailAddress", "serialNumber"] : length(regexall("(^|[^\\\\])/${name}=", coalesce(var.instance.tls_csr_subject, "-"))) <= 1])
    error_message = "tls_csr_subject has C, CN, emailAddress and serialNumber at most once."
  }
  validation {
    condition     = length(var.instance.domain) <= 64 || var.instance.tls_csr_subject != null
    error_message = "domain is longer than the 64 characters of a common name: give tls_csr_subject."
  }
  validation {
    condition     = !can(regex("[0-9]-", coalesce(var.instance.upgrade_window, "-"))) || distinct(regexall("[0-9]{2}:[0-9]{2}", coalesce(var.instance.upgrade_window, "-"))) == regexall("[0-9]{2}:[0-9]{2}", coalesce(var.instance.upgrade_window, "-"))
    error_message = "upgrade_window is never open: it ends when it begins."
  }
  validation {
    condition     = !can(regex("^(gs|file)://.*(//|/[.]{1,2}(/|$))", coalesce(var.instance.snapshot_push_to, "-")))
    error_message = "snapshot_push_to has an empty part, or one of dots."
  }
  validation {
    condition     = alltrue([for url in [var.instance.tls_fullchain_url, var.instance.tls_privkey_url] : url == null || can(regex("^(https://[^/?#@[:space:]]+([/?][^#[:space:]]*)?|sm://(([a-z][a-z0-9-]{4,28}[a-z0-9]/)?[A-Za-z0-9_-]{1,255}|projects/[a-z0-9-]{1,30}/secrets/[A-Za-z0-9_-]{1,255}(/versions/[A-Za-z0-9_-]{1,63})?)|gs://[a-z0-9._-]{3,222}/[^?#[:space:]]+(#[0-9]+)?|file:///.+)$", url))])
    error_message = "tls_fullchain_url and tls_privkey_url are https://…, sm://…, gs://bucket/object or file:///path, without a user or a password."
  }
  validation {
    condition     = var.instance.seed_admin_email == null || can(regex("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+([.][A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", var.instance.seed_admin_email))
    error_message = "seed_admin_email is an address such as you@example.com."
  }
  validation {
    condition     = var.instance.snapshot_push_to == null || can(regex("^(gs://[a-z0-9_.-]{3,222}(/[^#*?<>\"\\\\%[:space:]]+)?/?|file:///[^#*?<>\"\\\\%[:space:]]+)$", var.instance.snapshot_push_to))
    error_message = "snapshot_push_to is gs://bucket/prefix or file:///directory."
  }
  validation {
    condition     = alltrue([for one in var.instance.snapshot_age_recipients : can(regex("^age1[02-9ac-hj-np-z]{58}$", one))])
    error_message = "snapshot_age_recipients are public keys of age, age1…."
  }
  validation {
    condition     = var.instance.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.instance.image_digest))
    error_message = "image_digest is sha256: and 64 hexadecimal digits."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.instance.image_tag))
    error_message = "image_tag is a tag such as stable or 1.4.2."
  }
  validation {
    condition     = can(regex("^/dev/", var.instance.data_device))
    error_message = "data_device is a path below /dev."
  }
  validation {
    condition     = alltrue([for name in keys(var.instance.secrets) : contains(["jwt", "session", "scheduler"], name) || can(regex("^[A-Z_][A-Z0-9_]{0,127}$", name)) && !endswith(name, "_PREVIOUS")])
    error_message = "The names of secrets are jwt, session, scheduler, or a variable's such as DATA_SOURCE_TOKEN."
  }
  validation {
    condition     = alltrue([for name in keys(var.instance.env) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "The keys of env are names of variables: letters, digits and underscores."
  }
  validation {
    condition     = alltrue([for secret in var.instance.secrets : can(regex("^sm://(([a-z][a-z0-9-]{4,28}[a-z0-9]/)?[A-Za-z0-9_-]{1,255}|projects/([a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]{1,20})/secrets/[A-Za-z0-9_-]{1,255}(/versions/([1-9][0-9]*|[A-Za-z][A-Za-z0-9_-]{0,62}))?)$", secret.source))])
    error_message = "A secret's source is sm://…: a value would stand in the state and in the machine's metadata."
  }
  validation {
    condition     = length([for key in setintersection(keys(var.instance.env), ["JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "SESSION_SECRET", "SESSION_SECRET_PREVIOUS", "SCHEDULER_API_TOKEN", "SCHEDULER_API_TOKEN_PREVIOUS", "AGNES_BOOTSTRAP_TOKEN", "ALERT_WEBHOOK_URL", "ALERT_JSON_URL", "HEARTBEAT_URL", "OIDC_CLIENT_SECRET", "SMTP_PASSWORD"]) : key if !startswith(var.instance.env[key], "sm://")]) == 0
    error_message = "env holds no secrets: they are made on the host, or named in secrets, or here as sm://…."
  }
  validation {
    condition     = alltrue([for value in values(var.instance.env) : !can(regex("^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*:[^/?#]*@", value)) && !can(regex("^https://[^/?#]*@", value))])
    error_message = "env holds no URL with a user or a password: it would stand in the state and in the machine's metadata."
  }
  validation {
    condition     = alltrue([for key in keys(var.instance.env) : !can(regex("^(JWT_SECRET_KEY|SESSION_SECRET|SCHEDULER_API_TOKEN|AGNES_BOOTSTRAP_TOKEN|ALERT_WEBHOOK_URL|ALERT_JSON_URL|HEARTBEAT_URL|OIDC_CLIENT_SECRET|SMTP_PASSWORD)(_PREVIOUS)?_FILE$", key))])
    error_message = "env names no file of a secret: agnes-ops keeps those."
  }
}
