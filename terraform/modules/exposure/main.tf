locals {
  public = length(setintersection(var.source_ranges, ["0.0.0.0/0", "::/0"])) > 0
  https  = var.tls_mode != "none"
  # port 80 sends people on to https, and answers the CA
  ports = length(var.source_ranges) == 0 ? [] : local.https ? ["80", "443"] : ["80"]
}
