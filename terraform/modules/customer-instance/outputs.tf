output "instances" {
  description = "By name: the machine, its address, the URL that is served, its service account and data disk."
  value = { for name, instance in local.instances : name => {
    environment     = instance.environment
    machine         = google_compute_instance.instance[name].name
    zone            = var.zone
    address         = google_compute_address.instance[name].address
    url             = module.exposure[name].url
    service_account = google_service_account.instance[name].email
    data_disk       = local.data_disks[name].name
    is_checked      = module.exposure[name].uptime_check != null
  } }
}

output "secret_ids" {
  description = "By `<instance>/<NAME>`: the secret of Secret Manager that a person puts a value into."
  value       = { for name, secret in local.secrets : name => secret.secret_id }
}

output "ssh" {
  description = "By name: how a person gets onto the machine."
  value = { for name, instance in local.instances :
    name => "gcloud compute ssh ${google_compute_instance.instance[name].name} --project ${var.project} --zone ${var.zone} --tunnel-through-iap"
  }
}
