//! The startup script: the same bytes from Terraform and from `agnes-ops`, run on a host whose curl and agnes-ops write down what they are asked.

mod fields;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use agnes_e2e::components::{require, seed, skip};
use agnes_e2e::deployment::{Ran, agnes_ops, run};
use serde_json::{Value, json};
use xtask::{checkout, command};

const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The real Terraform; `None` after saying `SKIP`.
fn terraform() -> Option<PathBuf> {
    let found = command::system_program("terraform");
    if found.is_none() {
        skip("terraform", "not installed, and no package registry has it");
    }
    found
}

/// What it says when it is run there, offline.
fn terraform_in(program: &Path, dir: &Path, arguments: &[&str]) -> String {
    let mut terraform = Command::new(program);
    terraform
        .args(arguments)
        .current_dir(dir)
        .env("CHECKPOINT_DISABLE", "1")
        .env_remove("TF_CLI_CONFIG_FILE");
    command::capture(&mut terraform).unwrap()
}

/// What the module says of these instances, by name: the script, and the template's variables.
fn rendered(program: &Path, instances: &Value) -> BTreeMap<String, (String, Value)> {
    let dir = tempfile::tempdir().unwrap();
    // as from Git: the whole repository comes, and the module is below it
    let module = format!(
        "{}//terraform/modules/startup-script",
        checkout::root().unwrap().display()
    );
    let main = json!({
        "locals": {"instances": format!("${{jsondecode(file(\"{}/instances.json\"))}}", dir.path().display())},
        "module": {"one": {
            "source": module,
            "for_each": "${local.instances}",
            "agnes_ops_url": "${each.value.url}",
            "agnes_ops_sha256": "${each.value.sha256}",
            "instance": "${each.value.instance}",
        }},
        "output": {"all": {"value": "${{for name, one in module.one : name => one}}"}},
    });
    std::fs::write(dir.path().join("main.tf.json"), main.to_string()).unwrap();
    std::fs::write(dir.path().join("instances.json"), instances.to_string()).unwrap();
    let run = |arguments: &[&str]| terraform_in(program, dir.path(), arguments);
    run(&["init", "-input=false", "-no-color"]);
    run(&["apply", "-auto-approve", "-input=false", "-no-color"]);
    let said: Value = serde_json::from_str(&run(&["output", "-json", "all"])).unwrap();
    let all = said.as_object().unwrap().iter();
    all.map(|(name, one)| {
        let script = one["script"].as_str().unwrap().to_owned();
        (name.clone(), (script, one["variables"].clone()))
    })
    .collect()
}

/// The same by `agnes-ops`.
fn by_agnes_ops(variables: &Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    let vars = dir.path().join("vars.json");
    std::fs::write(&vars, variables.to_string()).unwrap();
    let mut command = Command::new(agnes_ops());
    command
        .args(["render", "startup-script", "--vars"])
        .arg(&vars);
    run(command).exits(0).stdout
}

/// A host in a mount namespace of its own.
struct Sandbox {
    root: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for dir in ["local/sbin", "local/bin", "local/lib", "log"] {
            std::fs::create_dir_all(sandbox.path(dir)).unwrap();
        }
        let curl = format!(
            r#"#!/bin/sh
for argument; do printf '%s\n' "$argument" >> {log}/arguments; done
case "$*" in
    *guest-attributes*) echo "$*" >> {log}/attribute; exit 0;;
    *service-accounts*) echo '{{"access_token":"a-token-of-the-machine","expires_in":1}}'; exit 0;;
esac
cat >> {log}/stdin
while [ $# -gt 0 ]; do [ "$1" = --output ] && to=$2; shift; done
[ -e {root}/served ] || exit 22
cp {root}/served "$to"
"#,
            log = sandbox.path("log").display(),
            root = sandbox.root.path().display()
        );
        sandbox.program("local/sbin/curl", &curl);
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(name), executable).unwrap();
    }

    /// An `agnes-ops` that writes down how it was called; its SHA-256.
    fn serve(&self, name: &str, exit: i32) -> String {
        let log = self.path("log");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho \"{name} $*\" >> {log}/called\ncp \"$3\" {log}/boot.json\nstat -c %a \"$3\" > {log}/mode\nexit {exit}\n",
            log = log.display()
        );
        self.program("served", &text);
        self.sha256_of("served")
    }

    fn sha256_of(&self, name: &str) -> String {
        let sum = command::capture(Command::new("sha256sum").arg(self.path(name))).unwrap();
        sum[..64].to_owned()
    }

    fn run(&self, script: &str) -> Ran {
        std::fs::write(self.path("script"), script).unwrap();
        let root = self.root.path().display();
        let inside = format!(
            "mount --make-rprivate / && mount --bind {root}/local /usr/local && mount -t tmpfs none /run && cd {root}/log && exec sh {root}/script"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", &inside]);
        run(command)
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("log").join(name)).unwrap_or_default()
    }
}

fn variables(url: &str, sha256: &str) -> Value {
    json!({
        "agnes_ops_url": url,
        "agnes_ops_sha256": sha256,
        "config": {"version": 1, "env": {"DOMAIN": "agnes.example.com"}, "settings": {}},
    })
}

#[test]
fn every_example_has_the_same_script_from_terraform_and_from_agnes_ops() {
    let (Some(program), Some(shellcheck)) = (terraform(), require("shellcheck")) else {
        return;
    };
    let examples = checkout::root().unwrap().join("terraform/examples");
    let mut instances = serde_json::Map::new();
    for example in std::fs::read_dir(examples).unwrap() {
        let path = example.unwrap().path();
        let values = std::fs::read_to_string(path.join("agnes.json")).unwrap();
        let values: Value = serde_json::from_str(&values).unwrap();
        let all = [&values["prod_instance"]]
            .into_iter()
            .chain(values["dev_instances"].as_array().into_iter().flatten());
        for instance in all {
            let mut instance = instance.clone();
            if let Some(secrets) = instance["secrets"].as_object_mut() {
                for (_, secret) in secrets {
                    secret["source"] = "sm://example-project/example-secret".into();
                }
            }
            let name = format!(
                "{}-{}",
                path.file_name().unwrap().display(),
                instance["name"].as_str().unwrap()
            );
            instances.insert(name, json!({"url": values["agnes_ops_url"], "sha256": values["agnes_ops_sha256"], "instance": instance}));
        }
    }
    assert!(instances.len() >= 5, "{instances:?}");
    for (name, (script, variables)) in rendered(&program, &instances.into()) {
        assert_eq!(script, by_agnes_ops(&variables), "{name}");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("script.sh"), &script).unwrap();
        command::capture(Command::new(&shellcheck).arg(dir.path().join("script.sh"))).unwrap();
        // a host takes it
        let vars = dir.path().join("vars.json");
        std::fs::write(&vars, variables.to_string()).unwrap();
        for what in ["env", "units"] {
            let mut render = Command::new(agnes_ops());
            render.args(["render", what, "--vars"]).arg(&vars);
            run(render).exits(0);
        }
    }
}

#[test]
fn the_rehearsal_of_the_onboarding_runs_as_it_is_written() {
    let text =
        std::fs::read_to_string(checkout::root().unwrap().join("docs/onboarding.md")).unwrap();
    let blocks: Vec<&str> = text
        .split("```sh rehearsal\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!blocks.is_empty());
    let dir = tempfile::tempdir().unwrap();
    let programs = agnes_ops().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", &blocks.concat()])
        .current_dir(dir.path())
        .env("PATH", format!("{programs}:{path}"));
    let said = run(shell).exits(0);
    assert!(
        said.stdout.contains("DOMAIN=agnes.example.com"),
        "{}",
        said.stdout
    );
    let units = std::fs::read_to_string(dir.path().join("units.txt")).unwrap();
    assert!(units.contains("# /etc/systemd/system/agnes-upgrade.timer"));
}

/// Texts that a shell, a template or JSON would read.
fn odd_texts() -> Vec<String> {
    let mut seed = seed().wrapping_mul(2) + 1;
    let mut next = move |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let pieces = [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "\n",
        "\ntouch pwned\n",
        "\\",
        "${HOME}",
        "${agnes_ops_url}",
        "${base64encode(jsonencode(config))}",
        "%{ if true }",
        "$${",
        "%%{",
        "EOF",
        "<&>",
        "é",
        "e\u{301}",
        "\u{2028}",
        "\u{1f600}",
        "\t",
        "\r",
        "\u{8}",
        "\u{1}",
        "\u{7f}",
        "-n",
        " ",
        "a",
        "0",
        "|",
        "!",
        "#",
    ];
    (0..40)
        .map(|_| (0..=next(7)).map(|_| pieces[next(pieces.len())]).collect())
        .collect()
}

#[test]
fn b03_no_text_of_the_configuration_is_ever_executed() {
    let Some(program) = terraform() else {
        return;
    };
    let sandbox = Sandbox::new();
    let sha256 = sandbox.serve("fetched", 0);
    let instances: serde_json::Map<String, Value> = odd_texts()
        .into_iter()
        .enumerate()
        .map(|(number, text)| {
            // as much of it as a province may have
            let part: String = text.chars().take(60).collect();
            let subject = format!("/ST={}", part.replace('\\', "\\\\").replace('/', "\\/"));
            let instance = json!({"domain": "agnes.example.com", "env": {"NOTE": text}, "tls_csr_subject": subject});
            let one = json!({"url": "https://releases.example.com/agnes-ops", "sha256": sha256, "instance": instance});
            (format!("n{number}"), one)
        })
        .collect();
    for (name, (script, variables)) in rendered(&program, &instances.into()) {
        assert!(!script.contains("pwned"), "{name}: {script}");
        let ran = sandbox.run(&script).exits(0);
        assert_eq!(ran.stderr, "", "{name}");
        let given: Value = serde_json::from_str(&sandbox.log("boot.json")).unwrap();
        assert_eq!(given, variables["config"], "{name}");
        assert!(!sandbox.path("log/pwned").exists(), "{name}: {variables}");
    }
    assert_eq!(sandbox.log("mode").trim(), "600");
}

#[test]
fn a_host_gets_the_program_that_was_meant_and_its_boot_has_the_last_word() {
    let sandbox = Sandbox::new();
    let sha256 = sandbox.serve("fetched", 75);
    let script = by_agnes_ops(&variables(
        "https://releases.example.com/agnes-ops",
        &sha256,
    ));
    // what boot says is what the script says
    sandbox.run(&script).exits(75);
    assert_eq!(
        sandbox.log("called"),
        "fetched boot --config /run/agnes/boot.json --lock-wait 15m\n"
    );
    let arguments = sandbox.log("arguments");
    assert!(
        arguments.contains(
            "--proto
"
        ) || arguments.contains("--proto=https"),
        "{arguments}"
    );
    // what is there already is not fetched again
    let before = sandbox.log("arguments");
    sandbox.run(&script).exits(75);
    assert_eq!(sandbox.log("arguments"), before);
    // an upgrade has put a newer one in place, which stays
    std::fs::remove_file(sandbox.path("local/bin/agnes-ops")).unwrap();
    let newer = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho newer >> {}/called\n",
        sandbox.path("log").display()
    );
    sandbox.program("local/bin/agnes-ops", &newer);
    sandbox.run(&script).exits(0);
    assert!(sandbox.log("called").ends_with("newer\n"));
    // one that does not run is no reason to stay without
    sandbox.program("local/bin/agnes-ops", "#!/bin/sh\nexit 127\n");
    sandbox.run(&script).exits(75);
    assert!(sandbox.log("called").ends_with("--lock-wait 15m\n"));
}

#[test]
fn b10_a_token_stands_in_no_argument() {
    let sandbox = Sandbox::new();
    let sha256 = sandbox.serve("fetched", 0);
    sandbox
        .run(&by_agnes_ops(&variables(
            "gs://example-releases/1.0/agnes-ops",
            &sha256,
        )))
        .exits(0);
    assert!(
        sandbox
            .log("stdin")
            .contains("Authorization: Bearer a-token-of-the-machine")
    );
    let arguments = sandbox.log("arguments");
    assert!(
        arguments.contains("https://storage.googleapis.com/example-releases/1.0/agnes-ops"),
        "{arguments}"
    );
    assert!(!arguments.contains("a-token"), "{arguments}");
}

#[test]
fn b06_a_failure_before_the_boot_is_seen_from_outside() {
    let url = "https://releases.example.com/agnes-ops";
    let fails = |sandbox: &Sandbox, sha256: &str, what: &str| {
        let script = by_agnes_ops(&variables(url, sha256));
        let said = sandbox.run(&script).exits(1).stderr;
        let told = sandbox.log("attribute");
        assert!(said.contains(what) && told.contains(what), "{said}{told}");
    };
    let fetched = format!("failed: agnes-ops cannot be fetched from {url}");
    fails(&Sandbox::new(), ZERO, &fetched);

    let sandbox = Sandbox::new();
    sandbox.serve("another", 0);
    let meant = "is not the agnes-ops that was meant (sha256)";
    fails(&sandbox, ZERO, meant);
    assert_eq!(sandbox.log("called"), "", "it was run");
    assert!(!sandbox.path("local/lib/agnes/agnes-ops").exists());
    assert!(!sandbox.path("local/lib/agnes/agnes-ops.new").exists());

    // one that was meant, and is for another machine
    let sandbox = Sandbox::new();
    sandbox.program("served", "#!/bin/sh\nexit 126\n");
    let sha256 = sandbox.sha256_of("served");
    fails(&sandbox, &sha256, "does not run on this machine");

    // a boot that has an end tells it itself, and one that was killed does not
    for (exit, told) in [(1, false), (78, false), (137, true)] {
        let sandbox = Sandbox::new();
        let sha256 = sandbox.serve("fetched", exit);
        sandbox
            .run(&by_agnes_ops(&variables(url, &sha256)))
            .exits(exit);
        assert_eq!(
            sandbox
                .log("attribute")
                .contains("failed: agnes-ops boot: exit 137"),
            told,
            "{exit}"
        );
    }

    // a place that takes nothing
    let sandbox = Sandbox::new();
    let sha256 = sandbox.serve("fetched", 0);
    std::fs::create_dir_all(sandbox.path("local/lib/agnes/agnes-ops.new")).unwrap();
    fails(&sandbox, &sha256, "failed: ");
    let sandbox = Sandbox::new();
    let sha256 = sandbox.serve("fetched", 0);
    std::fs::write(sandbox.path("local/lib/agnes"), "in the way").unwrap();
    fails(&sandbox, &sha256, "cannot be made");
}
