# One production machine whose certificate a public CA gives, open to the world on 443.

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
}

output "instances" {
  description = "What was made."
  value       = module.agnes.instances
}
