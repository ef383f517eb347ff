# Closed, but for people who come through Identity-Aware Proxy, and for whom source_ranges names.

resource "google_compute_firewall" "iap_ssh" {
  project     = var.project
  name        = "${var.customer_name}-iap-ssh"
  description = "SSH through Identity-Aware Proxy alone"
  network     = var.network
  direction   = "INGRESS"

  source_ranges = ["35.235.240.0/20"]
  target_tags   = values(local.prefix)

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_compute_firewall" "service" {
  for_each = { for name, instance in local.instances : name => instance if length(module.exposure[name].ports) > 0 }

  project     = var.project
  name        = "${local.prefix[each.key]}-service"
  description = "The service, to whom source_ranges names"
  network     = var.network
  direction   = "INGRESS"

  source_ranges = each.value.source_ranges
  target_tags   = [local.prefix[each.key]]

  allow {
    protocol = "tcp"
    ports    = module.exposure[each.key].ports
  }
}
