# Production's disk has a block of its own: what keeps a disk from being destroyed cannot depend on a value.

resource "google_compute_disk" "prod_data" {
  project = var.project
  zone    = var.zone
  name    = "${local.prefix[var.prod_instance.name]}-data"
  type    = var.prod_instance.data_disk_type
  size    = var.prod_instance.data_disk_gb
  labels  = var.labels

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_compute_disk" "dev_data" {
  for_each = local.dev

  project = var.project
  zone    = var.zone
  name    = "${local.prefix[each.key]}-data"
  type    = each.value.data_disk_type
  size    = each.value.data_disk_gb
  labels  = var.labels
}

locals {
  data_disks = merge(
    { for name, disk in google_compute_disk.dev_data : name => disk },
    { (var.prod_instance.name) = google_compute_disk.prod_data },
  )
}

resource "google_compute_resource_policy" "daily" {
  project = var.project
  region  = var.region
  name    = "${var.customer_name}-data-daily"

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = 1
        start_time    = "03:00"
      }
    }
    retention_policy {
      max_retention_days    = var.snapshot_keep_days
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }
    snapshot_properties {
      labels = var.labels
    }
  }
}

resource "google_compute_disk_resource_policy_attachment" "daily" {
  for_each = local.data_disks

  project = var.project
  zone    = var.zone
  disk    = each.value.name
  name    = google_compute_resource_policy.daily.name
}
