locals {
  instance = var.instance

  # what Compose reads stands in .env; a key of `env` wins, for it was written by hand
  env = merge(
    { for key, value in {
      DOMAIN            = local.instance.domain
      DOMAIN_ALIAS      = length(local.instance.domain_aliases) == 0 ? null : join(" ", local.instance.domain_aliases)
      AGNES_IMAGE       = local.instance.image
      AGNES_TAG         = local.instance.image_tag
      TLS_MODE          = local.instance.tls_mode
      CADDY_TLS         = local.instance.tls_mode == "acme" ? "tls ${local.instance.tls_acme_email}" : local.instance.tls_mode == "internal" ? "tls internal" : null
      TLS_FULLCHAIN_URL = local.instance.tls_fullchain_url
      TLS_PRIVKEY_URL   = local.instance.tls_privkey_url
      TLS_CSR_SUBJECT   = local.instance.tls_csr_subject
      AGNES_OVERLAYS    = local.instance.overlays == null ? null : length(local.instance.overlays) == 0 ? "base" : join(",", local.instance.overlays)
      SEED_ADMIN_EMAIL  = local.instance.seed_admin_email
    } : key => value if value != null },
    local.instance.env,
  )

  settings = {
    host = {
      data_device    = local.instance.data_device
      format_blank   = local.instance.format_blank
      install_docker = local.instance.install_docker
    }
    upgrade = { for key, value in {
      mode     = local.instance.upgrade_mode
      window   = local.instance.upgrade_window
      timezone = local.instance.upgrade_timezone
      digest   = local.instance.image_digest
    } : key => value if value != null }
    snapshot = { for key, value in {
      push_to        = local.instance.snapshot_push_to
      age_recipients = length(local.instance.snapshot_age_recipients) == 0 ? null : join(" ", local.instance.snapshot_age_recipients)
    } : key => value if value != null }
    secrets = { for name, secret in local.instance.secrets :
      name => { for key, value in secret : key => value if value != null }
    }
  }

  variables = {
    agnes_ops_url    = var.agnes_ops_url
    agnes_ops_sha256 = var.agnes_ops_sha256
    config = {
      version  = 1
      env      = local.env
      settings = local.settings
    }
  }
}
