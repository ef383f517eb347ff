# W06: a check matches what is exposed, and what cannot pass is not asked.

variables {
  domain   = "agnes.example.com"
  tls_mode = "files"
}

run "closed_by_default" {
  command = apply

  assert {
    condition     = length(output.ports) == 0 && output.uptime_check == null
    error_message = "Something is open, or asked."
  }
}

run "a_network_of_ones_own_is_not_asked_from_the_world" {
  command = apply

  variables {
    source_ranges = ["192.0.2.0/24"]
  }
  assert {
    condition     = output.ports == tolist(["80", "443"]) && output.uptime_check == null
    error_message = "A check that can never pass."
  }
}

run "acme_is_validated" {
  command = apply

  variables {
    tls_mode      = "acme"
    source_ranges = ["0.0.0.0/0"]
  }
  assert {
    condition     = output.uptime_check.use_ssl && output.uptime_check.validate_ssl && output.uptime_check.port == 443
    error_message = "The check does not match what is served."
  }
}

run "a_bridge_is_not_validated" {
  command = apply

  variables {
    source_ranges = ["0.0.0.0/0"]
  }
  assert {
    condition     = output.uptime_check.use_ssl && !output.uptime_check.validate_ssl
    error_message = "A check that cannot pass until a CA has answered."
  }
}

run "plain_http_for_a_network" {
  command = apply

  variables {
    tls_mode      = "none"
    source_ranges = ["10.0.0.0/8"]
  }
  assert {
    condition     = output.ports == tolist(["80"]) && startswith(output.url, "http://")
    error_message = "The URL is not the one that is served."
  }
}

run "plain_http_for_the_world_is_refused" {
  command = plan

  variables {
    tls_mode      = "none"
    source_ranges = ["0.0.0.0/0"]
  }
  expect_failures = [var.source_ranges]
}

run "acme_behind_a_closed_door_is_refused" {
  command = plan

  variables {
    tls_mode = "acme"
  }
  expect_failures = [var.source_ranges]
}

run "a_range_that_is_none_is_refused" {
  command = plan

  variables {
    source_ranges = ["everybody"]
  }
  expect_failures = [var.source_ranges]
}

run "an_unknown_mode_is_refused" {
  command = plan

  variables {
    tls_mode = "tls"
  }
  expect_failures = [var.tls_mode]
}
