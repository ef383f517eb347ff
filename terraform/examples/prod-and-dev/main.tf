# A production machine with a corporate certificate, reachable from one network, and a development machine that follows `dev`.

locals {
  # data, which other programs read too
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
  dev_instances    = local.agnes.dev_instances

  artifact_registry = local.agnes.artifact_registry
  snapshot_bucket   = local.agnes.snapshot_bucket
}

output "instances" {
  description = "What was made."
  value       = module.agnes.instances
}
