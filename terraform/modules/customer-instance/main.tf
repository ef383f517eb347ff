locals {
  instances = merge(
    { for instance in var.dev_instances : instance.name => merge(instance, { environment = "dev" }) },
    { (var.prod_instance.name) = merge(var.prod_instance, { environment = "prod" }) },
  )
  dev    = { for name, instance in local.instances : name => instance if instance.environment == "dev" }
  prefix = { for name, instance in local.instances : name => "${var.customer_name}-${name}" }

  # one for each name that an instance gives to a secret; values are put into them by people, and never stand in the state
  secrets = merge([for name, instance in local.instances : {
    for key, secret in instance.secrets : "${name}/${key}" => {
      instance  = name
      key       = key
      secret_id = coalesce(secret.secret_id, lower(replace("${local.prefix[name]}-${key}", "_", "-")))
      is_made   = secret.secret_id == null
    }
  }]...)
}

module "exposure" {
  source   = "../exposure"
  for_each = local.instances

  tls_mode      = each.value.tls_mode
  domain        = each.value.domain
  source_ranges = each.value.source_ranges
}

module "startup_script" {
  source   = "../startup-script"
  for_each = local.instances

  agnes_ops_url    = var.agnes_ops_url
  agnes_ops_sha256 = var.agnes_ops_sha256
  instance = merge(each.value, {
    secrets = { for key, secret in each.value.secrets : key => {
      source   = "sm://${var.project}/${local.secrets["${each.key}/${key}"].secret_id}"
      required = secret.required
    } }
  })
}
