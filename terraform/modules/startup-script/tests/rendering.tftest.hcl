# Offline: this module has no provider.

variables {
  agnes_ops_url    = "https://releases.example.com/agnes-ops"
  agnes_ops_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  instance         = { domain = "agnes.example.com" }
}

run "defaults" {
  command = apply

  assert {
    condition     = output.variables.config.env.AGNES_TAG == "stable" && output.variables.config.env.TLS_MODE == "files"
    error_message = "The defaults of the machine are not those that are documented."
  }
  assert {
    condition     = output.variables.config.settings.host.format_blank && output.variables.config.settings.host.data_device == "/dev/disk/by-id/google-agnes-data"
    error_message = "The data disk is not the module's own."
  }
  assert {
    condition     = length(split("\n", trimspace(output.script))) <= 80
    error_message = "The script has more than 80 lines."
  }
  assert {
    condition     = jsondecode(base64decode(regex("\nconfig=([A-Za-z0-9+/=]+)\n", output.script)[0])) == output.variables.config
    error_message = "The script does not carry the configuration."
  }
}

run "what_is_not_set_is_left_out" {
  command = apply

  assert {
    condition     = !contains(keys(output.variables.config.env), "CADDY_TLS") && output.variables.config.settings.snapshot == {}
    error_message = "A null came through."
  }
}

run "no_overlay_is_not_the_default" {
  command = apply

  variables {
    instance = { domain = "agnes.example.com", overlays = [] }
  }
  assert {
    condition     = output.variables.config.env.AGNES_OVERLAYS == "base"
    error_message = "The base alone would be the default's overlays."
  }
}

run "acme" {
  command = apply

  variables {
    instance = { domain = "agnes.example.com", tls_mode = "acme", tls_acme_email = "you@example.com" }
  }
  assert {
    condition     = output.variables.config.env.CADDY_TLS == "tls you@example.com"
    error_message = "Caddy is not told whom the CA writes to."
  }
}

run "a_digest_is_pinned" {
  command = apply

  variables {
    instance = { domain = "agnes.example.com", image_digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
  }
  assert {
    condition     = startswith(output.variables.config.settings.upgrade.digest, "sha256:")
    error_message = "The digest is lost."
  }
}

run "b03_arbitrary_text_is_data" {
  command = apply

  variables {
    instance = { domain = "agnes.example.com", env = { NOTE = "$(touch /tmp/pwned) `id` 'q' \"d\" \\ $${x} %%{y} é \n;" } }
  }
  assert {
    condition     = jsondecode(base64decode(regex("\nconfig=([A-Za-z0-9+/=]+)\n", output.script)[0])).env.NOTE == "$(touch /tmp/pwned) `id` 'q' \"d\" \\ $${x} %%{y} é \n;"
    error_message = "The text is another one."
  }
  assert {
    condition     = !strcontains(output.script, "pwned")
    error_message = "The text stands in the script."
  }
}

run "b09_a_typo_in_a_mode_is_refused" {
  command = plan

  variables {
    instance = { domain = "agnes.example.com", upgrade_mode = "of" }
  }
  expect_failures = [var.instance]
}

run "an_unknown_tls_mode_is_refused" {
  command = plan

  variables {
    instance = { domain = "agnes.example.com", tls_mode = "letsencrypt" }
  }
  expect_failures = [var.instance]
}

run "acme_without_an_address_is_refused" {
  command = plan

  variables {
    instance = { domain = "agnes.example.com", tls_mode = "acme" }
  }
  expect_failures = [var.instance]
}

run "b10_a_secret_s_value_is_refused" {
  command = plan

  variables {
    instance = { domain = "agnes.example.com", secrets = { SMTP_PASSWORD = { source = "hunter2" } } }
  }
  expect_failures = [var.instance]
}

run "b10_a_secret_in_env_is_refused" {
  command = plan

  variables {
    instance = { domain = "agnes.example.com", env = { JWT_SECRET_KEY = "0123456789abcdef0123456789abcdef" } }
  }
  expect_failures = [var.instance]
}

run "a_url_that_a_shell_would_read_is_refused" {
  command = plan

  variables {
    agnes_ops_url = "https://releases.example.com/$(id)"
  }
  expect_failures = [var.agnes_ops_url]
}

run "plain_http_is_refused" {
  command = plan

  variables {
    agnes_ops_url = "http://releases.example.com/agnes-ops"
  }
  expect_failures = [var.agnes_ops_url]
}

run "a_sum_that_is_none_is_refused" {
  command = plan

  variables {
    agnes_ops_sha256 = "latest"
  }
  expect_failures = [var.agnes_ops_sha256]
}

run "a_domain_that_is_none_is_refused" {
  command = plan

  variables {
    instance = { domain = "agnes example" }
  }
  expect_failures = [var.instance]
}
