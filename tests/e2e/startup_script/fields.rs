//! What Terraform lets through a boot takes, and what a boot would refuse Terraform refuses before there is a machine.

use std::path::Path;

use serde_json::{Map, Value, json};
use xtask::checkout;

use super::{ZERO, by_agnes_ops, rendered, terraform, terraform_in};

fn instance(field: &str, value: &Value) -> Value {
    let mut instance = Map::from_iter([("domain".to_owned(), json!("agnes.example.com"))]);
    instance.insert(field.to_owned(), value.clone());
    instance.into()
}

#[test]
fn what_terraform_lets_through_a_boot_takes() {
    let Some(program) = terraform() else {
        return;
    };
    let fields = [
        ("domain", json!("a-1.b.example.com")),
        (
            "domain_aliases",
            json!(["www.example.com", "x.example.com"]),
        ),
        ("image", json!("registry.example.com:5000/team/agnes")),
        ("upgrade_window", json!("Mon..Fri,Sun 22:00-24:00")),
        ("upgrade_window", json!("02:00-05:00")),
        ("upgrade_timezone", json!("Europe/Prague")),
        ("overlays", json!([])),
        ("overlays", json!(["prod", "host-mount", "monitoring"])),
        (
            "tls_csr_subject",
            json!("/C=US/O=Your Org\\/Team/CN=agnes.example.com"),
        ),
        (
            "tls_fullchain_url",
            json!("https://pki.example.com/chain.pem?x=a@b"),
        ),
        ("tls_privkey_url", json!("sm://project/key")),
        ("seed_admin_email", json!("first.last+x@mail.example.com")),
        ("snapshot_push_to", json!("gs://bucket-1/a/b")),
        ("snapshot_push_to", json!("file:///mnt/backup")),
        (
            "snapshot_age_recipients",
            json!(["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]),
        ),
        (
            "secrets",
            json!({"DATA_SOURCE_TOKEN": {"source": "sm://project-1/s"}, "jwt": {"source": "sm://projects/project-1/secrets/j"}}),
        ),
        (
            "env",
            json!({"FOREIGN_KEY": "x", "lower": "y", "JWT_SECRET_KEY": "sm://project-1/jwt"}),
        ),
        ("image", json!("localhost:5000/agnes")),
        ("image", json!("team/agnes")),
        ("tls_fullchain_url", json!("gs://bucket-1/chain.pem#123")),
        (
            "secrets",
            json!({"FOO": {"source": "sm://projects/project-1/secrets/x/versions/5"}}),
        ),
    ];
    let instances: Map<String, Value> = fields
        .iter()
        .enumerate()
        .map(|(number, (field, value))| {
            let url = "https://releases.example.com/agnes-ops";
            let one = json!({"url": url, "sha256": ZERO, "instance": instance(field, value)});
            (format!("{number:02}-{field}"), one)
        })
        .collect();
    for (name, (script, variables)) in rendered(&program, &instances.into()) {
        assert_eq!(by_agnes_ops(&variables), script, "{name}");
    }
}

#[test]
fn b09_what_a_boot_would_refuse_terraform_refuses_first() {
    let Some(program) = terraform() else {
        return;
    };
    let refused = [
        ("domain", json!("agnes")),
        ("domain", json!("-a.example.com")),
        ("domain", json!("10.0.0.1")),
        ("domain_aliases", json!(["not a name"])),
        ("domain_aliases", json!(["https://example.com"])),
        ("image", json!("registry.example.com/Agnes")),
        ("image", json!("agnes@sha256:0")),
        ("image", json!("registry.example.com/agnes:1.0")),
        ("image_tag", json!("-x")),
        ("upgrade_window", json!("always")),
        ("upgrade_window", json!("Mon..Fri 25:00-26:00")),
        ("upgrade_window", json!("Mo..Fri 02:00-05:00")),
        ("upgrade_window", json!("Fro 02:00-05:00")),
        ("upgrade_timezone", json!("Central European Time")),
        ("overlays", json!(["production"])),
        ("overlays", json!(["prod", "dev"])),
        ("tls_csr_subject", json!("CN=agnes.example.com")),
        ("tls_csr_subject", json!("/XX=agnes")),
        ("tls_csr_subject", json!("/CN=")),
        (
            "tls_fullchain_url",
            json!("http://pki.example.com/chain.pem"),
        ),
        (
            "tls_fullchain_url",
            json!("https://user:password@example.com/chain.pem"),
        ),
        ("tls_privkey_url", json!("/etc/key.pem")),
        ("seed_admin_email", json!("admin")),
        ("seed_admin_email", json!("a b@example.com")),
        ("snapshot_push_to", json!("s3://bucket/x")),
        ("snapshot_push_to", json!("gs://B")),
        ("snapshot_age_recipients", json!(["AGE-SECRET-KEY-1QQ"])),
        (
            "secrets",
            json!({"smtp-password": {"source": "sm://project-1/s"}}),
        ),
        ("secrets", json!({"jwt": {"source": "sm://"}})),
        ("env", json!({"NOT A KEY": "x"})),
        ("data_device", json!("sdb")),
        (
            "secrets",
            json!({"FOO": {"source": "sm://project-1/x/versions/5"}}),
        ),
        (
            "env",
            json!({"HTTPS_PROXY": "http://u:p@proxy.example.com:1"}),
        ),
        ("env", json!({"JWT_SECRET_KEY_FILE": "/etc/jwt"})),
        ("tls_csr_subject", json!("/C=us")),
        ("tls_csr_subject", json!("/CN=a/CN=b")),
        ("upgrade_window", json!("02:00-02:00")),
        ("image", json!("UPPER/x")),
        ("tls_fullchain_url", json!("sm://p/x")),
        ("tls_fullchain_url", json!("gs://bucket/o?x")),
        ("seed_admin_email", json!("a..b@example.com")),
        ("seed_admin_email", json!("a@-b.example.com")),
        ("snapshot_push_to", json!("gs://bucket/../x")),
        ("snapshot_push_to", json!("gs://bucket/p//q")),
        ("snapshot_push_to", json!("file:///x/../y")),
    ];
    let module = checkout::root()
        .unwrap()
        .join("terraform/modules/startup-script");
    let runs = refused
        .iter()
        .map(|(field, value)| (json!({"instance": instance(field, value)}), "var.instance"));
    let shared = json!({"agnes_ops_url": "https://releases.example.com/agnes-ops", "agnes_ops_sha256": ZERO, "instance": {"domain": "agnes.example.com"}});
    all_refused(&program, &module, &shared, runs);
}

#[test]
fn b09_what_a_customer_s_machines_cannot_be_is_refused_by_their_variables_alone() {
    let Some(program) = terraform() else {
        return;
    };
    let module = checkout::root()
        .unwrap()
        .join("terraform/modules/customer-instance");
    let shared = json!({
        "project": "example-project",
        "region": "europe-west1",
        "zone": "europe-west1-b",
        "customer_name": "example",
        "agnes_ops_url": "https://releases.example.com/agnes-ops",
        "agnes_ops_sha256": ZERO,
        "prod_instance": {"name": "prod", "domain": "agnes.example.com"},
    });
    let one = |name: &str, pushed_to: &str| json!({"name": name, "domain": "agnes.example.com", "snapshot_push_to": pushed_to});
    let elsewhere = "gs://elsewhere/prod";
    let runs = [
        (json!({"customer_name": "Example"}), "var.customer_name"),
        (
            json!({"prod_instance": one("p", elsewhere)}),
            "var.prod_instance",
        ),
        (
            json!({"prod_instance": one("prod", elsewhere), "snapshot_bucket": "here"}),
            "var.prod_instance",
        ),
        (
            json!({"dev_instances": [one("dev", elsewhere)]}),
            "var.dev_instances",
        ),
        (
            json!({"dev_instances": [one("dev", "file:///a"), one("dev", "file:///b")]}),
            "var.dev_instances",
        ),
        (
            json!({"dev_instances": [one("prod", "file:///a")]}),
            "var.dev_instances",
        ),
        (
            json!({"dev_instances": [one("-", "file:///a")]}),
            "var.dev_instances",
        ),
    ];
    all_refused(&program, &module, &shared, runs);
}

/// The module's own variables refuse each of these, and take what all of them share.
fn all_refused(
    program: &Path,
    module: &Path,
    shared: &Value,
    refused: impl IntoIterator<Item = (Value, &'static str)>,
) {
    let dir = tempfile::tempdir().unwrap();
    // without resources: no provider is needed to judge a variable
    std::fs::copy(module.join("variables.tf"), dir.path().join("variables.tf")).unwrap();
    let mut runs = Map::from_iter([("shared".to_owned(), json!({"command": "plan"}))]);
    for (number, (variables, expected)) in refused.into_iter().enumerate() {
        let run = json!({"command": "plan", "variables": variables, "expect_failures": [expected]});
        runs.insert(format!("n{number}"), run);
    }
    let all = format!("{} passed, 0 failed", runs.len());
    std::fs::create_dir(dir.path().join("tests")).unwrap();
    let test = json!({"variables": shared, "run": runs});
    std::fs::write(
        dir.path().join("tests/refused.tftest.json"),
        test.to_string(),
    )
    .unwrap();
    let run = |arguments: &[&str]| terraform_in(program, dir.path(), arguments);
    run(&["init", "-input=false", "-no-color"]);
    let said = run(&["test", "-no-color"]);
    assert!(said.contains(&all), "{said}");
}
