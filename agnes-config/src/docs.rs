//! The pages that people read about configuration, written from the table.
//!
//! Always true: what they say of a key is what the table says; `.env.example` loads without problems, also when every
//! line of it is switched on.
//!
//! Does not: write files.

use std::fmt::Write;

use crate::env_keys::{KEYS, Key, Kind};

/// `docs/configuration.md`.
pub fn configuration_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, prefix) in SECTIONS {
        let _ = write!(
            page,
            "\n### {title}\n\n| key | in `agnes.toml` | meaning | value | default |\n|---|---|---|---|---|\n"
        );
        for key in KEYS.iter().filter(|key| section(key) == *prefix) {
            page.push_str(&row(key));
        }
    }
    page.push_str(CLOSING);
    page
}

/// `.env.example`: every key of `.env`, commented out.
pub fn env_example() -> String {
    let mut file = "# Copy to .env and switch on what you need. Every key is optional; an empty value counts as not set, but for METRICS_ADDR.\n# docs/configuration.md explains all of them.\n".to_owned();
    for key in KEYS {
        let Some(name) = key.env else { continue };
        let value = key.example.or(key.default).unwrap_or_default();
        let doc = key.doc.replace('`', "");
        let _ = write!(file, "\n# {doc}\n");
        if key.is_secret() {
            let _ = writeln!(file, "# A file that holds it goes by {name}_FILE.");
        } else {
            let expected = key.kind.expected();
            let _ = writeln!(file, "# Value: {expected}.");
        }
        if let Some(default) = key.default {
            let _ = writeln!(file, "# Default: {default}");
        }
        // Quoted where Compose's dialect wants it.
        let value = crate::dotenv::quote(value).filter(|_| !value.is_empty());
        let _ = writeln!(file, "#{name}={}", value.unwrap_or_default());
    }
    file
}

const SECTIONS: &[(&str, &str)] = &[
    ("The deployment", ""),
    ("`[tls]`", "tls"),
    ("`[fetch]`", "fetch"),
    ("`[server]`", "server"),
    ("`[limits]`", "limits"),
    ("`[audit]`", "audit"),
    ("`[store]`", "store"),
    ("`[[jobs]]`", "jobs"),
    ("`[host]`", "host"),
    ("`[alerts]`", "alerts"),
    ("`[mail]`", "mail"),
    ("`[oidc]`", "oidc"),
    ("`[snapshot]`", "snapshot"),
    ("`[upgrade]`", "upgrade"),
    ("`[secrets.NAME]`", "provisions"),
    ("Secrets", "secrets"),
];

fn section(key: &Key) -> &'static str {
    if key.is_secret() {
        return "secrets";
    }
    match key.toml.map(|path| path.split_once('.')) {
        Some(Some((table, _))) => table,
        _ if key.kind == Kind::Jobs => "jobs",
        _ if key.kind == Kind::Secrets => "provisions",
        _ => "",
    }
}

fn row(key: &Key) -> String {
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    let name = match (key.env, key.kind) {
        (Some(env), Kind::Secret) => format!("{}, {}", code(env), code(&format!("{env}_FILE"))),
        (Some(env), _) => code(env),
        (None, _) => "–".to_owned(),
    };
    let toml = match (key.toml, key.alias) {
        (Some(toml), Some(alias)) => format!("{} or {}", code(toml), code(alias)),
        (Some(toml), None) => code(toml),
        _ => "–".to_owned(),
    };
    let default = match key.kind {
        Kind::Reload => "see below".to_owned(),
        Kind::Jobs | Kind::Secrets => "none; see below".to_owned(),
        _ => key.default.map_or("not set".to_owned(), code),
    };
    let readers = key.readers.join(", ");
    let expected = key
        .kind
        .expected()
        .replace('\\', "\\\\")
        .replace('<', "&lt;");
    format!(
        "| {name} | {toml} | {} ({readers}) | {expected} | {default} |\n",
        key.doc
    )
}

const INTRODUCTION: &str = r#"<!-- Generated from agnes-config/src/env_keys.rs by `cargo xtask docs`; edits here are lost. -->
# Configuration

A deployment is a directory: `/opt/agnes`, or what `-C DIR` or `AGNES_DIR` names. Its `.env` is all that a small one
needs; `agnes.toml` says the same and a little more; `agnes.toml.d/` is written by `agnes-ops` alone.

## Which value counts

From low to high; a higher layer replaces what a lower one says:

1. the default
2. `agnes.toml`
3. `agnes.toml.d/NN-*.toml`, in the order of their names
4. `.env`; of several equal keys the last
5. the environment of the process
6. a flag
7. for a secret, the file that `<NAME>_FILE` names

An empty value counts as not set, in every layer; only an empty `METRICS_ADDR` says something (no metrics). A relative path starts at the deployment's directory. A file that does
not exist is fine; one that cannot be read or does not parse stops the program with exit code 78 and nothing touched, and
every problem of every file is listed in one go as `file:line: key: what is wrong (what is expected)`. What is wrong for
the server alone (keys that can be guessed, files of secrets that cannot be read, credentials of jobs that are missing) stops `agnesd` in the same way, and is a
warning for `agnes-ops`, which goes on looking after the certificates.

`AGNES_ENV_FILE` in the environment of `agnesd` names the file that it reads in place of `.env`, as a service manager hands it over to a user
who may not read the deployment's own. `agnes-ops` works on the deployment's own alone.

`agnes-ops config show` prints every key with its value and where it came from; secrets as `<set, 64 chars>`, URLs without
user and query. `agnes-ops config check` prints the problems alone.

## Keys
"#;

const CLOSING: &str = r#"
## `[[tls.reload]]`

Ways to make the proxy read its files again, tried in order until the served leaf is the installed one. Each has five
seconds to prove itself; the one that last worked goes first. A list in a drop-in replaces the whole list of
`agnes.toml`.

| `kind` | exactly one of | further fields |
|---|---|---|
| `"signal"` | `pid_file`, `unit`, `compose_service` | `signal`: `SIGUSR1` (default), `SIGUSR2` or `SIGHUP` |
| `"caddy-admin"` | `url`, `compose_service` | `config`, with `compose_service`: the path inside the container (default `/etc/caddy/Caddyfile`) |
| `"command"` | `argv` | a list of program and arguments; no shell reads it |
| `"restart"` | `unit`, `compose_service` | none; never among the defaults |

Default with `runtime = "compose"`:

```toml
[[tls.reload]]
kind = "signal"
compose_service = "caddy"

[[tls.reload]]
kind = "caddy-admin"
compose_service = "caddy"
```

Default with `runtime = "process"`: SIGUSR1 to the process of `$STATE_DIR/agnesd.pid`.

## `[[jobs]]`

What the server calls on a schedule, besides its built-in jobs `checkpoint`, `expire`, `audit-head` and `self-check`. A list
in a drop-in replaces the whole list of `agnes.toml`; an empty one is `jobs = []`.

| field | meaning | default |
|---|---|---|
| `name` | at most 64 of `a-z`, `0-9`, `_` and `-`, a letter or digit first; once | required |
| `schedule` | `every 15m` (`s`, `m`, `h` or `d`; 10s to 31d, counted from the last start), `daily 03:00`, `cron 0 5 * * 1` (minute, hour, day of month, month, day of week); all in UTC | required |
| `path` | what is called on this server, beginning with `/`, as the scheduler (below) | one of `path` and `url` |
| `url` | what is called elsewhere: http or https, no user in it | one of `path` and `url` |
| `method` | `GET` or `POST` | `POST` |
| `timeout` | of one try, at most 24h | `60s` |
| `retries` | further tries after a failed one, at most 100 | `3` |
| `token_env` | with `url`: the variable, of the environment or `.env`, that holds the bearer token to send; the file that `<NAME>_FILE` names beats it. The server's own secrets cannot be named | no credential is sent |

A job with `path` calls as the scheduler, without a body, whether or not `SCHEDULER_API_TOKEN` is set. It may call what the
column "scheduler" of [access.md](access.md) says, in short: probes, `GET /api/jobs` and `POST /api/jobs/{name}/run`. Any other
path answers 403 and the run is a `failure`, which shows at its first run and not at the start. The call counts among the
scheduler's own in `[limits]`.

The example needs `REPORTS_TOKEN` in `.env` or the environment (or `REPORTS_TOKEN_FILE`): without it `agnesd` exits with 78, and
`agnes-ops` warns. It is read once: for another token, restart the server.

```toml
[[jobs]]
name = "nightly-report"
schedule = "daily 03:00"
url = "https://reports.example.com/run"
token_env = "REPORTS_TOKEN"
```

## `[secrets.NAME]`

Where `agnes-ops secrets ensure` fetches a secret from, and where a rotation tells a new one. `NAME` is the secret's name in
`.env`; `jwt`, `session` and `scheduler` mean the server's own. The tables of a drop-in stand beside those of `agnes.toml`;
one of the same name replaces it. `NAME = "sm://secret"` alone says its source.

| field | meaning | default |
|---|---|---|
| `source` | an `https`, `sm`, `gs` or `file` URL; the newline at its end is not part of the secret | the server's own are made on the host |
| `required` | `true`: one that was never fetched is a failure | `true` |
| `publish` | an `sm://` URL without a version: a rotation makes a new version there | not published |

```toml
[secrets.DATA_SOURCE_TOKEN]
source = "sm://agnes-data-source-token"
```

## Secrets

`JWT_SECRET_KEY`, `SESSION_SECRET` and their `_PREVIOUS` are refused when they have fewer than 32 characters, are one
character over and over, or are a placeholder out of somebody's example: `agnesd` exits with 78. `openssl rand -hex 32`
prints one that is not. A `SCHEDULER_API_TOKEN` that is too short is not accepted from anybody, which is a warning. So are
two secrets with the same value.

The newline at the end of a secret's file is not part of it. The file has to exist, but for one of a `_PREVIOUS`: when that
is absent or empty there is no previous secret, whatever lower layers say, for rotation takes it away again.

## The dialect of `.env`

The same file is read by Docker Compose, so it is read as Compose reads it, and refused where Compose refuses it. It is
data: nothing in it is ever evaluated by a shell.

- `KEY=value`, `KEY: value`, `export KEY=value`; a key alone on its line takes its value from the environment.
- A `#` begins a comment at the start of a line, or behind a space in a value without quotes.
- In `'single quotes'` everything stands for itself. In `"double quotes"` there are `\n`, `\t`, `\"`, `\\`, `\$` and
  variables. Both may span lines.
- `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:+other}`, `${VAR+other}`, `${VAR:?message}`,
  `${VAR?message}`: the environment of the process counts before earlier keys of the file. A literal dollar is `$$`, or
  the value in single quotes.

Keys that are not ours are left alone, for other programs read that file too. One that is two letters or less away from
one of ours is a warning.
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;

    fn load(example: &str) -> crate::Loaded {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::create(dir.path().join(".env")).unwrap();
        file.write_all(example.as_bytes()).unwrap();
        crate::load(dir.path(), [], &[])
    }

    #[test]
    fn the_example_loads_as_it_is_and_with_every_line_switched_on() {
        let loaded = load(&env_example());
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.warnings, []);
        let on = env_example().replace("\n#", "\n").replace("\n ", "\n# ");
        let loaded = load(&on);
        assert_eq!(loaded.problems, []);
        let given = loaded
            .values
            .iter()
            .filter(|value| value.source != crate::Source::Default && !value.value.is_empty());
        let keys = KEYS
            .iter()
            .filter(|key| key.env.is_some() && !key.is_secret());
        assert_eq!(given.count(), keys.count());
    }

    #[test]
    fn every_key_stands_in_both_pages() {
        let (page, example) = (configuration_markdown(), env_example());
        for key in KEYS {
            assert!(
                page.contains(&format!("`{}`", key.name())),
                "{}",
                key.name()
            );
            if let Some(env) = key.env {
                assert!(example.contains(&format!("\n#{env}=")), "{env}");
            }
        }
    }

    #[test]
    fn defaults_in_the_pages_are_the_defaults_in_force() {
        let loaded = load("");
        for value in loaded.values {
            let key = KEYS.iter().find(|key| key.name() == value.key).unwrap();
            match (key.default, key.kind) {
                (_, Kind::Secret) => assert_eq!(value.value, "<not set>"),
                (_, Kind::Reload) => assert!(value.value.starts_with("signal SIGUSR1")),
                (Some(text), Kind::Path | Kind::Subject | Kind::Origin)
                    if text.contains(['$', '<']) => {}
                (default, _) => assert_eq!(value.value, default.unwrap_or_default()),
            }
        }
    }
}
