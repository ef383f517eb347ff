variable "agnes_ops_url" {
  description = "Where the host fetches agnes-ops: https://… or gs://bucket/object (with the machine's own token)."
  type        = string

  validation {
    condition     = can(regex("^(https|gs)://[A-Za-z0-9./_~:%@+=-]+$", var.agnes_ops_url))
    error_message = "agnes_ops_url is https://… or gs://…, of letters, digits and ./_~:%@+=- alone."
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
    domain                  = string
    domain_aliases          = optional(list(string), [])
    image                   = optional(string)
    image_tag               = optional(string, "stable")
    image_digest            = optional(string)
    upgrade_mode            = optional(string, "auto")
    upgrade_window          = optional(string)
    upgrade_timezone        = optional(string)
    tls_mode                = optional(string, "files")
    tls_acme_email          = optional(string)
    tls_fullchain_url       = optional(string)
    tls_privkey_url         = optional(string)
    tls_csr_subject         = optional(string)
    overlays                = optional(list(string))
    seed_admin_email        = optional(string)
    data_device             = optional(string, "/dev/disk/by-id/google-agnes-data")
    format_blank            = optional(bool, true)
    install_docker          = optional(bool, true)
    snapshot_push_to        = optional(string)
    snapshot_age_recipients = optional(list(string), [])
    secrets                 = optional(map(object({ source = string, required = optional(bool) })), {})
    env                     = optional(map(string), {})
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
    condition     = var.instance.tls_acme_email == null || can(regex("^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+$", var.instance.tls_acme_email))
    error_message = "tls_acme_email is an address such as you@example.com."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", var.instance.domain)) && length(regexall("[.]", var.instance.domain)) > 0
    error_message = "domain is a DNS name such as agnes.example.com."
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
    condition     = alltrue([for secret in var.instance.secrets : can(regex("^sm://", secret.source))])
    error_message = "A secret's source is sm://…: a value would stand in the state and in the machine's metadata."
  }
  validation {
    condition     = length(setintersection(keys(var.instance.env), ["JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "SESSION_SECRET", "SESSION_SECRET_PREVIOUS", "SCHEDULER_API_TOKEN", "SCHEDULER_API_TOKEN_PREVIOUS", "AGNES_BOOTSTRAP_TOKEN"])) == 0
    error_message = "env holds no secrets: they are made on the host, or named in secrets."
  }
}
