# The private repository that keeps one customer's machines: a production machine with a corporate certificate, reachable from one network, and a development machine that follows `dev`.

provider "google" {
  project = var.project
  region  = var.region
}

module "agnes" {
  # in a repository of its own: git::https://git.example.com/agnes.git//terraform/modules/customer-instance?ref=infra-v1.0.0
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
