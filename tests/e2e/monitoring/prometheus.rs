//! A host that is well, with a real Prometheus that collects from its server, and from agnes-ops by a real node_exporter.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use agnes_e2e::components::require;
use agnes_e2e::ports;
use agnes_e2e::process::Daemon;
use serde_json::Value;

use super::rules;
use crate::doctor::Well;

/// How long it may take until what happened is seen.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Everything ends with it.
pub(super) struct Watched {
    pub(super) well: Well,
    pub(super) prometheus: Prometheus,
    _exporter: Daemon,
}

impl Watched {
    /// `None` after saying `SKIP`.
    pub(super) fn start() -> Option<Self> {
        let (prometheus, exporter) = (require("prometheus")?, require("prometheus-node-exporter")?);
        let (metrics, textfiles) = (ports::free_address(), ports::free_address());
        let well = Well::with("METRICS_ADDR", &metrics.to_string());
        well.ops(&["watch"]).exits(0);
        // as docs/operations.md has it
        let page = well.deployment.state().join("ops/metrics");
        let mut exporter = Command::new(exporter);
        exporter
            .args([
                "--collector.disable-defaults",
                "--collector.timex",
                "--collector.textfile",
            ])
            .arg(format!("--collector.textfile.directory={}", page.display()))
            .arg(format!("--web.listen-address={textfiles}"));
        let exporter = Daemon::spawn(&mut exporter).unwrap();
        let prometheus = Prometheus::start(&prometheus, metrics.port(), textfiles.port());
        Some(Self {
            well,
            prometheus,
            _exporter: exporter,
        })
    }
}

pub(super) struct Prometheus {
    port: u16,
    _runs: Daemon,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    fn start(program: &Path, agnesd: u16, textfiles: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n  \
             - job_name: agnesd\n    static_configs: [{{targets: ['127.0.0.1:{agnesd}']}}]\n  \
             - job_name: node\n    static_configs: [{{targets: ['127.0.0.1:{textfiles}']}}]\n",
            rules().display(),
        );
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let port = ports::free();
        let data = dir.path().join("data");
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut runs = Daemon::spawn(&mut command).unwrap();
        runs.wait_listening((std::net::Ipv4Addr::LOCALHOST, port).into(), PATIENCE)
            .unwrap();
        Self {
            port,
            _runs: runs,
            _dir: dir,
        }
    }

    /// What it answers; `Err`: what it says against it.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--get", "--max-time", "5", &url]);
        for (key, value) in query {
            curl.args(["--data-urlencode", &format!("{key}={value}")]);
        }
        let said = curl.output().unwrap();
        let answer: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        match answer["status"] == "success" {
            true => Ok(answer),
            false => Err(String::from_utf8_lossy(&said.stdout).into_owned()),
        }
    }

    /// The series that an expression has now: their labels, and the value.
    pub(super) fn series(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let answer = self.get("/api/v1/query", &[("query", expression)])?;
        let all = answer["data"]["result"].as_array().cloned();
        let of = |one: &Value| {
            Some((
                one["metric"].clone(),
                one["value"][1].as_str()?.parse().ok()?,
            ))
        };
        Ok(all.unwrap_or_default().iter().filter_map(of).collect())
    }

    /// Waits until it has something to say.
    pub(super) fn has_scraped(&self, expression: &str) {
        let begun = Instant::now();
        while !self.series(expression).is_ok_and(|all| !all.is_empty()) {
            assert!(begun.elapsed() < PATIENCE, "never: {expression}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}
