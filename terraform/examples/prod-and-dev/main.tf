# A production machine with a corporate certificate, reachable from one network, and a development machine that follows `dev`.

provider "google" {
  project = var.project
  region  = var.region
}

module "agnes" {
  source = "../../modules/customer-instance"

  project          = var.project
  region           = var.region
  zone             = var.zone
  customer_name    = var.customer_name
  agnes_ops_url    = var.agnes_ops_url
  agnes_ops_sha256 = var.agnes_ops_sha256
  prod_instance    = var.prod_instance
  dev_instances    = var.dev_instances

  artifact_registry = var.artifact_registry
  snapshot_bucket   = var.snapshot_bucket
}

output "instances" {
  description = "What was made."
  value       = module.agnes.instances
}
