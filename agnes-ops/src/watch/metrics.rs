//! What a collector of this host reads: `$STATE_DIR/ops/metrics/agnes_ops.prom`, for node_exporter's textfile collector.
//!
//! Always true: the file is replaced whole; times are seconds since 1970-01-01T00:00:00Z; what is not known is left out.
//!
//! Does not: judge.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::alerts::Alert;
use crate::deployment::Deployment;
use crate::{snapshot, tls};

/// Where it is, below `STATE_DIR`.
pub const FILE: &str = "ops/metrics/agnes_ops.prom";

/// The page.
pub fn page(deployment: Deployment<'_>, found: &[Alert], waiting: usize) -> String {
    let mut page = Page::default();
    let now = deployment.host.now().unix_timestamp();
    page.gauge(
        "agnes_ops_watch_timestamp_seconds",
        "When watch last looked.",
        &[("", now)],
    );
    page.gauge(
        "agnes_ops_alerts_waiting",
        "Messages that no receiver has taken yet.",
        &[("", i64::try_from(waiting).unwrap_or(i64::MAX))],
    );
    let mut by_id: BTreeMap<String, i64> = BTreeMap::new();
    for alert in found {
        let labels = format!("id=\"{}\",severity=\"{}\"", alert.id, alert.severity);
        *by_id.entry(labels).or_default() += 1;
    }
    let findings: Vec<(&str, i64)> = by_id
        .iter()
        .map(|(labels, count)| (labels.as_str(), *count))
        .collect();
    page.gauge("agnes_ops_findings", "What is wrong, by check.", &findings);
    if let Some(end) = tls::end(deployment) {
        page.gauge(
            "agnes_ops_certificate_end_timestamp_seconds",
            "When the installed certificate ends.",
            &[("", end)],
        );
        page.gauge(
            "agnes_ops_certificate_days",
            "Days until the installed certificate ends.",
            &[("", (end - now).div_euclid(24 * 60 * 60))],
        );
    }
    if let Ok(health) = snapshot::health(deployment) {
        let ages = [
            (
                "agnes_ops_snapshot_age_seconds",
                "Age of the newest snapshot.",
                &health.newest,
            ),
            (
                "agnes_ops_snapshot_proven_age_seconds",
                "Age of the newest snapshot that was proven.",
                &health.newest_proven,
            ),
        ];
        for (name, help, of) in ages {
            if let Some((_, age)) = of {
                page.gauge(name, help, &[("", age.whole_seconds())]);
            }
        }
        if let Some(rto) = health.rto_ms {
            let seconds = i64::try_from(rto.div_ceil(1000)).unwrap_or(i64::MAX);
            page.gauge(
                "agnes_ops_restore_rto_seconds",
                "How long the last drill took from the first byte to a server that writes, rounded up.",
                &[("", seconds)],
            );
        }
    }
    runs(deployment, &mut page);
    page.0
}

/// When each command last ran, succeeded, and had an effect.
fn runs(deployment: Deployment<'_>, page: &mut Page) {
    let Deployment { host, settings, .. } = deployment;
    let directory = settings.state_dir.join("ops/status");
    let mut last: [Vec<(String, i64)>; 3] = Default::default();
    for name in host.list(&directory).unwrap_or_default() {
        let Some(command) = name
            .strip_suffix(".json")
            .filter(|name| !name.ends_with(".deferred"))
        else {
            continue;
        };
        let record = host.read(&directory.join(&name)).ok().flatten();
        let Some(record) = record.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        else {
            continue;
        };
        for (times, key) in last
            .iter_mut()
            .zip(["at", "last_success_at", "last_effect_at"])
        {
            let at = record.get(key).and_then(Value::as_str);
            let at = at.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
            if let Some(at) = at {
                times.push((format!("command=\"{command}\""), at.unix_timestamp()));
            }
        }
    }
    let names = [
        (
            "agnes_ops_last_run_timestamp_seconds",
            "When a command last ended.",
        ),
        (
            "agnes_ops_last_success_timestamp_seconds",
            "When a command last ended well.",
        ),
        (
            "agnes_ops_last_effect_timestamp_seconds",
            "When a command last changed something.",
        ),
    ];
    for ((name, help), times) in names.into_iter().zip(&last) {
        let times: Vec<(&str, i64)> = times
            .iter()
            .map(|(labels, at)| (labels.as_str(), *at))
            .collect();
        page.gauge(name, help, &times);
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, values: &[(&str, i64)]) {
        if values.is_empty() {
            return;
        }
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{labels}}}"),
            };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}
