variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Where addresses and the snapshot schedule are, such as europe-west1."
  type        = string
}

variable "zone" {
  description = "Where machines and disks are, such as europe-west1-b."
  type        = string
}

variable "customer_name" {
  description = "Begins the name of everything: lower-case letters, digits and hyphens, at most 20."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.customer_name))
    error_message = "customer_name begins with a letter and has at most 20 lower-case letters, digits and hyphens."
  }
}

variable "network" {
  description = "The VPC network's self link or name."
  type        = string
  default     = "default"
  nullable    = false
}

variable "subnetwork" {
  description = "The subnetwork's self link or name; null: the region's one of an auto-mode network."
  type        = string
  default     = null
}

variable "agnes_ops_url" {
  description = "Where hosts fetch agnes-ops: https://… or gs://bucket/object."
  type        = string
}

variable "agnes_ops_sha256" {
  description = "SHA-256 of that file."
  type        = string
}

variable "prod_instance" {
  description = "The production machine. Its data disk cannot be destroyed by Terraform. Whatever is left out has the default that docs/configuration.md names."
  type = object({
    name                    = string                                                                                  # Ends the name of the machine, of its disks and of its service account.
    machine_type            = optional(string, "e2-standard-2")                                                       # Of Compute Engine.
    boot_image              = optional(string, "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64") # Ubuntu 24.04, whose own packages have a Docker that is new enough.
    disk_size_gb            = optional(number, 20)                                                                    # The boot disk, GB: the system, images and containers.
    data_disk_gb            = optional(number, 50)                                                                    # The data disk, GB: everything that a customer would miss. It grows, and never shrinks.
    data_disk_type          = optional(string, "pd-balanced")                                                         # Of persistent disks.
    source_ranges           = optional(list(string), [])                                                              # Networks (CIDR) that may reach it on 443, and on 80 where tls_mode asks for it; none: nobody does.
    domain                  = string                                                                                  # The DNS name that it answers for (DOMAIN).
    domain_aliases          = optional(list(string), [])                                                              # Further names, which send everybody to domain (DOMAIN_ALIAS).
    image                   = optional(string)                                                                        # The image's name, without a tag (AGNES_IMAGE); without one the first boot ends at its image step.
    image_tag               = optional(string, "stable")                                                              # The tag that upgrades follow (AGNES_TAG).
    image_digest            = optional(string)                                                                        # Pins one image, sha256:…; upgrades follow no tag then (upgrade.digest).
    upgrade_mode            = optional(string, "auto")                                                                # auto, manual or off (upgrade.mode).
    upgrade_window          = optional(string)                                                                        # When upgrades may happen, such as Mon..Fri 02:00-05:00; null: at any time (upgrade.window).
    upgrade_timezone        = optional(string)                                                                        # The time zone of the window; null: UTC (upgrade.timezone).
    tls_mode                = optional(string, "files")                                                               # files, acme, internal or none (TLS_MODE).
    tls_acme_email          = optional(string)                                                                        # Whom the CA writes to; with tls_mode acme, and with no other.
    tls_fullchain_url       = optional(string)                                                                        # Where the chain is published: https://, sm://, gs:// or file:// (TLS_FULLCHAIN_URL).
    tls_privkey_url         = optional(string)                                                                        # Where the key is, when it is not made on the host (TLS_PRIVKEY_URL).
    tls_csr_subject         = optional(string)                                                                        # The subject of the request for a certificate, such as /C=US/O=Your Org/CN=agnes.example.com (TLS_CSR_SUBJECT).
    overlays                = optional(list(string))                                                                  # Parts of the stack: prod, host-mount, dev, monitoring; null: prod and host-mount; none: the base alone (AGNES_OVERLAYS).
    seed_admin_email        = optional(string)                                                                        # The one address that may claim the first administrator (SEED_ADMIN_EMAIL).
    format_blank            = optional(bool, true)                                                                    # Whether a data disk that is proven blank may be formatted (host.format_blank).
    install_docker          = optional(bool, true)                                                                    # Whether the distribution's Docker may be installed (host.install_docker).
    snapshot_push_to        = optional(string)                                                                        # Where snapshots are copied to: gs://bucket/prefix or file:///directory (snapshot.push_to).
    snapshot_age_recipients = optional(list(string), [])                                                              # Public keys of age that snapshots are sealed to (snapshot.age_recipients).
    secrets                 = optional(map(object({ secret_id = optional(string), required = optional(bool) })), {})  # Further secrets by the name of their variable; jwt, session and scheduler may be taken from a manager too.
    env                     = optional(map(string), {})                                                               # Further lines of .env; of two that say one thing this one counts.
  })

  validation {
    condition     = !startswith(coalesce(var.prod_instance.snapshot_push_to, "-"), "gs://") || try(split("/", var.prod_instance.snapshot_push_to)[2], "") == coalesce(var.snapshot_bucket, "-")
    error_message = "prod_instance.snapshot_push_to is in another bucket than snapshot_bucket, in which the machine may write."
  }
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", "${var.customer_name}-${var.prod_instance.name}"))
    error_message = "customer_name and the instance's name, with a hyphen between, are 6 to 30 lower-case letters, digits and hyphens: a service account is called so."
  }
}

variable "dev_instances" {
  description = "Development machines, of the same type; their data disks go with them."
  type = list(object({
    name                    = string
    machine_type            = optional(string, "e2-standard-2")
    boot_image              = optional(string, "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64")
    disk_size_gb            = optional(number, 20)
    data_disk_gb            = optional(number, 20)
    data_disk_type          = optional(string, "pd-balanced")
    source_ranges           = optional(list(string), [])
    domain                  = string
    domain_aliases          = optional(list(string), [])
    image                   = optional(string)
    image_tag               = optional(string, "dev")
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
    format_blank            = optional(bool, true)
    install_docker          = optional(bool, true)
    snapshot_push_to        = optional(string)
    snapshot_age_recipients = optional(list(string), [])
    secrets                 = optional(map(object({ secret_id = optional(string), required = optional(bool) })), {})
    env                     = optional(map(string), {})
  }))
  default  = []
  nullable = false

  validation {
    condition = alltrue([for instance in var.dev_instances :
      !startswith(coalesce(instance.snapshot_push_to, "-"), "gs://") || try(split("/", instance.snapshot_push_to)[2], "") == coalesce(var.snapshot_bucket, "-")
    ])
    error_message = "A dev instance's snapshot_push_to is in another bucket than snapshot_bucket, in which the machine may write."
  }
  validation {
    condition     = length(distinct([for instance in var.dev_instances : instance.name])) == length(var.dev_instances)
    error_message = "Two dev_instances have one name: one of them would silently be dropped."
  }
  validation {
    condition     = !contains([for instance in var.dev_instances : instance.name], var.prod_instance.name)
    error_message = "A dev instance has the name of the production one: one of them would silently be dropped."
  }
  validation {
    condition     = alltrue([for instance in var.dev_instances : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", "${var.customer_name}-${instance.name}"))])
    error_message = "customer_name and the instance's name, with a hyphen between, are 6 to 30 lower-case letters, digits and hyphens: a service account is called so."
  }
}

variable "artifact_registry" {
  description = "A Docker repository of Artifact Registry that the machines may pull from; null: they pull from elsewhere."
  type = object({
    location   = string
    repository = string
  })
  default = null
}

variable "snapshot_bucket" {
  description = "A bucket that the machines may push snapshots to (snapshot_push_to = \"gs://…\"); null: none."
  type        = string
  default     = null
}

variable "source_buckets" {
  description = "Buckets that the machines may read from: those of agnes_ops_url and of tls_fullchain_url and tls_privkey_url, where they are gs://…."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "snapshot_keep_days" {
  description = "How many days the daily snapshots of data disks are kept."
  type        = number
  default     = 30
  nullable    = false
}

variable "notification_channels" {
  description = "Names of notification channels that the alert policy tells."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "labels" {
  description = "Labels of everything that takes some."
  type        = map(string)
  default     = {}
  nullable    = false
}
