# Only what can pass is asked: a service that the world cannot reach has no uptime check (its own alerts tell instead).

locals {
  checked = { for name, instance in local.instances : name => module.exposure[name].uptime_check if module.exposure[name].uptime_check != null }
}

resource "google_monitoring_uptime_check_config" "service" {
  for_each = local.checked

  project      = var.project
  display_name = "${local.prefix[each.key]} ${each.value.path}"
  timeout      = "10s"
  period       = "60s"

  http_check {
    path         = each.value.path
    port         = each.value.port
    use_ssl      = each.value.use_ssl
    validate_ssl = each.value.validate_ssl
    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = each.value.host
    }
  }
}

resource "google_monitoring_alert_policy" "uptime" {
  for_each = local.checked

  project               = var.project
  display_name          = "${local.prefix[each.key]} does not answer"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "uptime check fails"
    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type=\"uptime_url\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.service[each.key].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"
      trigger {
        count = 1
      }
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${module.exposure[each.key].url} does not answer. On the machine: `agnes-ops status`, then docs/operations.md. Guest attribute `agnes/boot` says how the last boot ended."
  }
}
