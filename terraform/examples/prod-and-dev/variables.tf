variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Such as europe-west1."
  type        = string
}

variable "zone" {
  description = "Such as europe-west1-b."
  type        = string
}

variable "customer_name" {
  description = "Begins the name of everything."
  type        = string
}

variable "agnes_ops_url" {
  description = "Where hosts fetch agnes-ops."
  type        = string
}

variable "agnes_ops_sha256" {
  description = "SHA-256 of that file."
  type        = string
}

variable "prod_instance" {
  description = "As the module has it."
  type        = any
}

variable "dev_instances" {
  description = "As the module has them."
  type        = any
  default     = []
}

variable "artifact_registry" {
  description = "As the module has it."
  type        = object({ location = string, repository = string })
  default     = null
}

variable "snapshot_bucket" {
  description = "As the module has it."
  type        = string
  default     = null
}
