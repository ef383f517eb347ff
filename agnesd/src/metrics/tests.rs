//! The text as a strict reader takes it.

use std::collections::{HashMap, HashSet};

use super::*;

/// One of everything.
fn filled() -> Metrics {
    let metrics = Metrics::new("1.2.3", "0123456789ab").unwrap();
    metrics.http_request("GET", "/api/users/{id}", "200", Duration::from_millis(7));
    metrics.http_request("OTHER", "unmatched", "404", Duration::from_secs(3));
    metrics.token_issued("access");
    metrics.db_query("commit", Duration::from_millis(2));
    metrics.audit_event("token.issued", "ok");
    metrics.job_run("checkpoint", "ok");
    metrics.job_succeeded("checkpoint", 1_900_000_000);
    metrics.wal_bytes(4096);
    metrics.writes_held(true);
    metrics.held_write_refused();
    metrics.rate_limited("address");
    metrics.file_bytes("in", 5);
    metrics
}

/// Series → value. Fails on anything that the format does not have, on a series without HELP and TYPE, and on duplicates.
fn parse(text: &str) -> HashMap<String, f64> {
    let mut series = HashMap::new();
    let (mut help, mut kind) = (HashSet::new(), HashMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(
                help.insert(rest.split_once(' ').unwrap().0.to_owned()),
                "{line}"
            );
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, what) = rest.split_once(' ').unwrap();
            assert!(
                kind.insert(name.to_owned(), what.to_owned()).is_none(),
                "{line}"
            );
            assert!(help.contains(name), "TYPE before HELP: {line}");
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|n| kind.contains_key(*n)))
                .unwrap_or(name);
            assert!(kind.contains_key(family), "no TYPE: {line}");
            assert_eq!(
                kind[family] == "counter",
                name.ends_with("_total"),
                "counters end in _total: {line}"
            );
            let value = value.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            assert!(
                series.insert(key.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    assert!(text.ends_with('\n'));
    series
}

#[test]
fn each_count_arrives_under_its_documented_name() {
    let series = parse(&filled().render());
    for (key, want) in [
        (
            r#"agnes_http_requests_total{method="GET",route="/api/users/{id}",status="200"}"#,
            1.0,
        ),
        (
            r#"agnes_http_requests_total{method="OTHER",route="unmatched",status="404"}"#,
            1.0,
        ),
        (
            r#"agnes_http_request_duration_seconds_bucket{method="GET",route="/api/users/{id}",le="0.005"}"#,
            0.0,
        ),
        (
            r#"agnes_http_request_duration_seconds_bucket{method="GET",route="/api/users/{id}",le="0.01"}"#,
            1.0,
        ),
        (
            r#"agnes_http_request_duration_seconds_bucket{method="OTHER",route="unmatched",le="2.5"}"#,
            0.0,
        ),
        (
            r#"agnes_http_request_duration_seconds_count{method="OTHER",route="unmatched"}"#,
            1.0,
        ),
        (r#"agnes_tokens_issued_total{kind="access"}"#, 1.0),
        (
            r#"agnes_db_query_duration_seconds_count{kind="commit"}"#,
            1.0,
        ),
        (
            r#"agnes_audit_events_total{action="token.issued",outcome="ok"}"#,
            1.0,
        ),
        (
            r#"agnes_jobs_runs_total{job="checkpoint",outcome="ok"}"#,
            1.0,
        ),
        (
            r#"agnes_jobs_last_success_timestamp_seconds{job="checkpoint"}"#,
            1.9e9,
        ),
        ("agnes_store_wal_bytes", 4096.0),
        ("agnes_store_writes_held", 1.0),
        ("agnes_store_held_writes_refused_total", 1.0),
        (r#"agnes_rate_limited_total{kind="address"}"#, 1.0),
        (
            r#"agnes_build_info{commit="0123456789ab",version="1.2.3"}"#,
            1.0,
        ),
    ] {
        assert_eq!(series.get(key), Some(&want), "{key}");
    }
    for key in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(series[key] > 0.0, "{key}");
    }
}

#[test]
fn held_goes_back_to_zero_and_two_sets_do_not_share() {
    let metrics = filled();
    metrics.writes_held(false);
    assert!(parse(&metrics.render())["agnes_store_writes_held"].abs() < f64::EPSILON);
    let fresh = parse(&Metrics::new("1", "").unwrap().render());
    assert!(
        !fresh
            .keys()
            .any(|key| key.starts_with("agnes_http_requests_total"))
    );
}
