resource "google_compute_address" "instance" {
  for_each = local.instances

  project = var.project
  region  = var.region
  name    = local.prefix[each.key]
}

resource "google_compute_instance" "instance" {
  for_each = local.instances

  project      = var.project
  zone         = var.zone
  name         = local.prefix[each.key]
  machine_type = each.value.machine_type
  tags         = [local.prefix[each.key]]
  labels       = merge(var.labels, { environment = each.value.environment })

  # a larger machine type needs a stop, which is a person's word (terraform apply)
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = each.value.boot_image
      size  = each.value.disk_size_gb
      type  = "pd-balanced"
    }
  }

  # /dev/disk/by-id/google-agnes-data
  attached_disk {
    source      = local.data_disks[each.key].id
    device_name = "agnes-data"
  }

  network_interface {
    network    = var.network
    subnetwork = var.subnetwork
    access_config {
      nat_ip = google_compute_address.instance[each.key].address
    }
  }

  service_account {
    email = google_service_account.instance[each.key].email
    # what it may do is said by its grants
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    enable-oslogin          = "TRUE"
    block-project-ssh-keys  = "TRUE"
    enable-guest-attributes = "TRUE"
    serial-port-enable      = "FALSE"
  }
  metadata_startup_script = module.startup_script[each.key].script

  lifecycle {
    # a change of it would make the machine anew; it is for the first boot, and a recreate takes the new one
    ignore_changes = [metadata_startup_script]
  }

  depends_on = [
    google_secret_manager_secret_iam_member.accessor,
    google_artifact_registry_repository_iam_member.reader,
  ]
}
