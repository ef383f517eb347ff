# Each machine is somebody of its own, who may do what that machine needs.

resource "google_service_account" "instance" {
  for_each = local.instances

  project      = var.project
  account_id   = local.prefix[each.key]
  display_name = "Agnes ${local.prefix[each.key]}"
}

resource "google_project_iam_member" "log_writer" {
  for_each = local.instances

  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.instance[each.key].member
}

resource "google_project_iam_member" "metric_writer" {
  for_each = local.instances

  project = var.project
  role    = "roles/monitoring.metricWriter"
  member  = google_service_account.instance[each.key].member
}

resource "google_secret_manager_secret" "instance" {
  for_each = { for name, secret in local.secrets : name => secret if secret.is_made }

  project   = var.project
  secret_id = each.value.secret_id
  labels    = var.labels

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_iam_member" "accessor" {
  for_each = local.secrets

  project   = var.project
  secret_id = each.value.is_made ? google_secret_manager_secret.instance[each.key].secret_id : each.value.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.instance[each.value.instance].member
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each = var.artifact_registry == null ? {} : local.instances

  project    = var.project
  location   = var.artifact_registry.location
  repository = var.artifact_registry.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.instance[each.key].member
}

resource "google_storage_bucket_iam_member" "snapshots" {
  for_each = var.snapshot_bucket == null ? {} : local.instances

  bucket = var.snapshot_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.instance[each.key].member
}

resource "google_storage_bucket_iam_member" "sources" {
  for_each = merge([for name in keys(local.instances) : {
    for bucket in toset(var.source_buckets) : "${name}/${bucket}" => { instance = name, bucket = bucket }
  }]...)

  bucket = each.value.bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.instance[each.value.instance].member
}
