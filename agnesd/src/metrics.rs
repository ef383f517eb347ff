//! What the server counts about itself, in Prometheus' text format.
//!
//! Always true: a registry of its own; every name starts with `agnes_` but for the process's, whose names are Prometheus'
//! convention; label values come from code and from route templates, never from a client; counting cannot fail.
//!
//! Does not: serve (`serve/metrics.rs` does); show prometheus' types to anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use serde::Serialize;

/// Seconds. From a read out of memory to what a client gives up on.
const REQUEST_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Seconds. From an index lookup to a scan of a year of audit rows.
const QUERY_BUCKETS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// The content type of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
    tokens_issued: IntCounterVec,
    query_duration: HistogramVec,
    audit_events: IntCounterVec,
    job_runs: IntCounterVec,
    job_success: IntGaugeVec,
    wal_bytes: IntGauge,
    writes_held: IntGauge,
    held_writes_refused: IntCounter,
    rate_limited: IntCounterVec,
    letters: IntCounterVec,
    ws_connections: IntGauge,
    ws_closed: IntCounterVec,
    file_bytes: IntCounterVec,
    answered: AtomicU64,
    server_errors: AtomicU64,
}

/// What callers got since the start; probes, and calls that were only held, are none of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Answered {
    /// Requests.
    pub(crate) total: u64,
    /// Of them those that got 5xx.
    pub(crate) server_errors: u64,
}

impl Metrics {
    /// All at nothing. `version` and `commit` are this build's.
    ///
    /// # Errors
    /// When a name or label is not one that Prometheus takes: a mistake in this file, which its tests find.
    pub(crate) fn new(version: &str, commit: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = in_registry(
            &registry,
            IntGaugeVec::new(
                Opts::new("agnes_build_info", "The build that runs; always 1."),
                &["version", "commit"],
            ),
        )?;
        build.with_label_values(&[version, commit]).set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let counter = |name, help, labels: &[&str]| {
            in_registry(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name, help, buckets: &[f64], labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            in_registry(&registry, HistogramVec::new(opts, labels))
        };
        let gauge = |name, help| in_registry(&registry, IntGauge::new(name, help));
        Ok(Self {
            http_requests: counter(
                "agnes_http_requests_total",
                "Requests answered, health probes included; route is the template.",
                &["method", "route", "status"],
            )?,
            http_duration: histogram(
                "agnes_http_request_duration_seconds",
                "Time from a request's head to its answer's head.",
                &REQUEST_BUCKETS,
                &["method", "route"],
            )?,
            tokens_issued: counter(
                "agnes_tokens_issued_total",
                "Tokens handed out: for a password (session), a refresh token, a one-time link, to a browser (cookie), or as a personal one.",
                &["kind"],
            )?,
            query_duration: histogram(
                "agnes_db_query_duration_seconds",
                "Time in the database, by kind of work.",
                &QUERY_BUCKETS,
                &["kind"],
            )?,
            audit_events: counter(
                "agnes_audit_events_total",
                "Audit rows written.",
                &["action", "outcome"],
            )?,
            job_runs: counter(
                "agnes_jobs_runs_total",
                "Runs of scheduled jobs that ended, by outcome.",
                &["job", "outcome"],
            )?,
            job_success: in_registry(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "agnes_jobs_last_success_timestamp_seconds",
                        "When a job last succeeded, in seconds since 1970.",
                    ),
                    &["job"],
                ),
            )?,
            wal_bytes: gauge(
                "agnes_store_wal_bytes",
                "Size of the database's write-ahead log.",
            )?,
            writes_held: gauge(
                "agnes_store_writes_held",
                "1 while writes are held, else 0.",
            )?,
            held_writes_refused: in_registry(
                &registry,
                IntCounter::new(
                    "agnes_store_held_writes_refused_total",
                    "Calls refused because writes were held.",
                ),
            )?,
            rate_limited: counter(
                "agnes_rate_limited_total",
                "Calls refused for coming too often, by what they were counted by.",
                &["kind"],
            )?,
            ws_connections: gauge("agnes_ws_connections", "WebSockets that are open.")?,
            ws_closed: counter(
                "agnes_ws_closed_total",
                "WebSockets that ended, by why: client, slow, flood, session, stop.",
                &["reason"],
            )?,
            letters: counter(
                "agnes_mail_letters_total",
                "Letters with a one-time link, by what it is for and what became of it: sent, failed, throttled, dropped, or off where no mail server is set.",
                &["kind", "outcome"],
            )?,
            file_bytes: counter(
                "agnes_files_bytes_total",
                "Bytes of files that were received (in) and sent (out).",
                &["direction"],
            )?,
            answered: AtomicU64::new(0),
            server_errors: AtomicU64::new(0),
            registry,
        })
    }

    /// What callers got.
    pub(crate) fn answered(&self) -> Answered {
        let held = self.held_writes_refused.get();
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed).saturating_sub(held);
        Answered {
            total: of(&self.answered),
            server_errors: of(&self.server_errors),
        }
    }

    /// One answered request. `route` is a template, `unmatched` where there is none.
    pub(crate) fn http_request(&self, method: &str, route: &str, status: &str, took: Duration) {
        self.http_requests
            .with_label_values(&[method, route, status])
            .inc();
        self.http_duration
            .with_label_values(&[method, route])
            .observe(took.as_secs_f64());
    }

    /// A caller, no probe, got this.
    pub(crate) fn caller_got(&self, is_server_error: bool) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if is_server_error {
            self.server_errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A token of `kind` (`session`, `refresh`, `link`, `cookie`, `personal`) was handed out.
    pub(crate) fn token_issued(&self, kind: &str) {
        self.tokens_issued.with_label_values(&[kind]).inc();
    }

    /// Work of `kind` (`read`, `commit`, `checkpoint`…) in the database.
    pub(crate) fn db_query(&self, kind: &str, took: Duration) {
        self.query_duration
            .with_label_values(&[kind])
            .observe(took.as_secs_f64());
    }

    /// An audit row was written.
    pub(crate) fn audit_event(&self, action: &str, outcome: &str) {
        self.audit_events
            .with_label_values(&[action, outcome])
            .inc();
    }

    /// A run of `job` ended.
    pub(crate) fn job_run(&self, job: &str, outcome: &str) {
        self.job_runs.with_label_values(&[job, outcome]).inc();
    }

    /// `job` succeeded at `at_secs` since 1970.
    pub(crate) fn job_succeeded(&self, job: &str, at_secs: i64) {
        self.job_success.with_label_values(&[job]).set(at_secs);
    }

    /// The write-ahead log has this size now.
    pub(crate) fn wal_bytes(&self, bytes: u64) {
        self.wal_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Writes are held, or no longer.
    pub(crate) fn writes_held(&self, held: bool) {
        self.writes_held.set(held.into());
    }

    /// A call was refused because writes are held.
    pub(crate) fn held_write_refused(&self) {
        self.held_writes_refused.inc();
    }

    /// A call was refused for coming too often; `kind` is `principal` or `address`.
    pub(crate) fn rate_limited(&self, kind: &str) {
        self.rate_limited.with_label_values(&[kind]).inc();
    }

    /// A WebSocket was opened.
    pub(crate) fn ws_opened(&self) {
        self.ws_connections.inc();
    }

    /// One ended, for `reason`.
    pub(crate) fn ws_ended(&self, reason: &str) {
        self.ws_connections.dec();
        self.ws_closed.with_label_values(&[reason]).inc();
    }

    /// A letter of `kind` (`magic`, `reset`) was asked for, and this became of it.
    pub(crate) fn letter(&self, kind: &str, outcome: &str) {
        self.letters.with_label_values(&[kind, outcome]).inc();
    }

    /// So many bytes of a file went `in` or `out`.
    pub(crate) fn file_bytes(&self, direction: &str, bytes: u64) {
        self.file_bytes
            .with_label_values(&[direction])
            .inc_by(bytes);
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|e| {
                tracing::error!("metrics: {e}");
                String::new()
            })
    }
}

fn in_registry<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

#[cfg(test)]
mod tests;
