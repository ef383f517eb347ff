variable "tls_mode" {
  description = "As in the instance: none, files, acme or internal."
  type        = string

  validation {
    condition     = contains(["none", "files", "acme", "internal"], var.tls_mode)
    error_message = "tls_mode is none, files, acme or internal."
  }
}

variable "domain" {
  description = "The name under which clients come."
  type        = string
}

variable "source_ranges" {
  description = "Who may reach the service, as CIDR ranges; nobody by default."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.source_ranges : can(cidrhost(range, 0))])
    error_message = "source_ranges are CIDR ranges such as 192.0.2.0/24."
  }
  validation {
    condition     = var.tls_mode != "none" || length(setintersection(var.source_ranges, ["0.0.0.0/0", "::/0"])) == 0
    error_message = "With tls_mode = \"none\" passwords and tokens would cross the world in clear: name narrower source_ranges, or choose files, acme or internal."
  }
  validation {
    condition     = var.tls_mode != "acme" || contains(var.source_ranges, "0.0.0.0/0")
    error_message = "With tls_mode = \"acme\" the CA comes from anywhere: source_ranges has to hold 0.0.0.0/0."
  }
}
