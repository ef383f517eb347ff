output "ports" {
  description = "TCP ports that the firewall opens to source_ranges; none when nobody may come."
  value       = local.ports
}

output "url" {
  description = "What is served, and where."
  value       = "${local.https ? "https" : "http"}://${var.domain}/api/health"
}

output "uptime_check" {
  description = "What an uptime check asks, or null where none could ever pass: the checkers come from the whole world. The certificate is validated with acme alone: until a corporate CA has answered the bridge is self-signed, and agnes-ops watches the days that are left."
  value = local.public ? {
    host         = var.domain
    path         = "/api/health"
    port         = local.https ? 443 : 80
    use_ssl      = local.https
    validate_ssl = var.tls_mode == "acme"
  } : null
}
