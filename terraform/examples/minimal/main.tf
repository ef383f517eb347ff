# One production machine whose certificate a public CA gives, open to the world on 443.

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
}

output "instances" {
  description = "What was made."
  value       = module.agnes.instances
}
