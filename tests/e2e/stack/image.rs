//! The image that is shipped: what is in it, and how large it is.

use super::*;

#[test]
fn the_image_holds_the_files_of_its_host_and_is_within_its_size() {
    let Some(docker) = Docker::get() else {
        return;
    };
    let Some(image) = docker.project_image().unwrap() else {
        return;
    };
    let inspected = |format: &str| {
        command::capture(
            docker
                .command(["image", "inspect", "--format", format])
                .arg(image),
        )
        .unwrap()
    };
    assert_eq!(
        inspected("{{json .Config.Healthcheck.Test}}").trim(),
        r#"["CMD","/usr/lib/agnes/agnesd","health"]"#
    );
    let labels = inspected("{{json .Config.Labels}}");
    assert!(
        labels.contains("org.opencontainers.image.version"),
        "{labels}"
    );
    let container = command::capture(&mut docker.command(["create", image])).unwrap();
    let tree = tempfile::tempdir().unwrap();
    let from = format!("{}:/usr/share/agnes/host", container.trim());
    command::capture(docker.command(["cp", &from]).arg(tree.path())).unwrap();
    let host = tree.path().join("host");
    for file in [
        "docker-compose.yml",
        "docker-compose.tls.yml",
        "caddy/Caddyfile",
        "caddy/pages/maintenance.html",
    ] {
        let shipped = std::fs::read(host.join(file)).unwrap();
        assert_eq!(
            shipped,
            std::fs::read(xtask::checkout::root().unwrap().join(file)).unwrap(),
            "{file}"
        );
    }
    let version = command::says(Command::new(host.join("agnes-ops")).arg("--version")).unwrap();
    assert!(version.starts_with("agnes-ops "), "{version}");
    command::capture(&mut docker.command(["rm", container.trim()])).unwrap();

    let mut save = docker.command(["save", image]);
    let mut save = save.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let zipped = Command::new("gzip")
        .arg("-c")
        .stdin(save.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(save.wait().unwrap().success());
    let bytes = zipped.stdout.len();
    eprintln!(
        "the image of the tests' programs is {} MB compressed",
        bytes / 1_000_000
    );
    assert!(bytes < 90_000_000, "{bytes} bytes");
}
