# One customer's machines, as agnes.json says. In a repository of your own the module comes from Git, by its version:
#   source = "git::https://git.example.com/agnes.git//terraform/modules/customer-instance?ref=infra-v1.0.0"

locals {
  # data, which the workflows read too
  agnes = jsondecode(file("${path.module}/agnes.json"))
}

provider "google" {
  project = local.agnes.project
  region  = local.agnes.region
}

module "agnes" {
  source = "../../modules/customer-instance"

  project          = local.agnes.project
  region           = local.agnes.region
  zone             = local.agnes.zone
  customer_name    = local.agnes.customer_name
  agnes_ops_url    = local.agnes.agnes_ops_url
  agnes_ops_sha256 = local.agnes.agnes_ops_sha256
  prod_instance    = local.agnes.prod_instance

  # what agnes.json leaves out has the module's default
  dev_instances         = try(local.agnes.dev_instances, null)
  artifact_registry     = try(local.agnes.artifact_registry, null)
  snapshot_bucket       = try(local.agnes.snapshot_bucket, null)
  source_buckets        = try(local.agnes.source_buckets, null)
  snapshot_keep_days    = try(local.agnes.snapshot_keep_days, null)
  notification_channels = try(local.agnes.notification_channels, null)
  network               = try(local.agnes.network, null)
  subnetwork            = try(local.agnes.subnetwork, null)
  labels                = try(local.agnes.labels, null)
}

output "instances" {
  description = "What was made."
  value       = module.agnes.instances
}

output "secret_ids" {
  description = "The secrets of Secret Manager that wait for a value."
  value       = module.agnes.secret_ids
}

output "ssh" {
  description = "How a person gets onto each machine."
  value       = module.agnes.ssh
}
