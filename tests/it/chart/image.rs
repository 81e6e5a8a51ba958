//! The Dockerfile, step by step, for there is not always an engine to run it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::rendered::{has_helm, render, root, scenario};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The instructions, continued lines joined.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The instructions of the stage that builds, and those of the one that runs.
fn stages() -> (Vec<String>, Vec<String>) {
    let all = instructions();
    let second = all.iter().rposition(|line| line.starts_with("FROM ")).expect("two stages");
    assert_eq!(all.iter().filter(|line| line.starts_with("FROM ")).count(), 2);
    (all[..second].to_vec(), all[second..].to_vec())
}

/// What the first stage copies from the repository, and to where.
fn copied() -> Vec<(String, String)> {
    let (build, _) = stages();
    let copies = build.iter().filter_map(|line| line.strip_prefix("COPY "));
    copies
        .flat_map(|line| {
            let mut paths: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let to = paths.pop().expect("a target");
            paths.into_iter().map(move |from| {
                let place = if to == "./" { from.clone() } else { to.clone() };
                (from, place)
            })
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("it can be made");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).expect("it can be copied");
    }
}

/// Lays out the build folder as the first stage does.
fn build_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (from, to) in copied() {
        copy(&root().join(from), &folder.path().join(to));
    }
    folder
}

/// The targets that the manifest names itself, and the file that each is expected to be.
fn named_targets() -> Vec<(String, String)> {
    let manifest = read("Cargo.toml");
    let mut targets = Vec::new();
    for table in manifest.split("\n[[").skip(1) {
        let (kind, rest) = table.split_once("]]").expect("the end of a heading");
        let name = rest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).expect("a name");
        let folder = if kind == "bench" { "benches" } else { "tests" };
        targets.push((format!("{kind} {name}"), format!("{folder}/{name}.rs")));
    }
    targets
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[test]
fn the_build_gets_what_it_needs_and_nothing_else() {
    let ignored = read(".dockerignore");
    let mut let_in: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let copied = copied();
    let mut wanted: Vec<&str> = copied.iter().map(|(from, _)| from.as_str()).collect();
    let_in.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(let_in, wanted, "the context holds what is copied");
    assert!(ignored.lines().any(|line| line == "*"));
    let folder = build_folder();
    // `cargo metadata` says nothing of a target that is named without being there; a build ends with it.
    for (target, file) in named_targets() {
        assert!(folder.path().join(&file).exists(), "the manifest names {target}, and {file} is not copied");
    }
    let mut cargo = cargo();
    cargo.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]).current_dir(folder.path());
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_image_fits_the_crate_and_the_chart() {
    let (build, run) = stages();
    let manifest = read("Cargo.toml");
    let field = |name: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        line.and_then(|rest| rest.split('"').next()).expect("a field").to_owned()
    };
    assert!(build[0].contains(&format!("rust:{}-", field("rust-version"))), "{}", build[0]);
    let built = build.iter().find_map(|line| line.strip_prefix("RUN cargo ")).expect("a build");
    assert_eq!(
        built,
        r#"build --profile dist --locked --package zendesk-gateway --no-default-features --features "$FEATURES" --bin zendesk-gateway"#
    );
    assert!(build.contains(&r#"ARG FEATURES="""#.to_owned()), "nothing optional unless it is asked for");
    assert!(
        instructions().iter().all(|line| !line.contains("amd64") && !line.contains("x86_64")),
        "no platform is named"
    );

    assert!(
        run.iter().all(|line| !line.starts_with("RUN ") && !line.starts_with("ENV ")),
        "no shell, no settings: {run:?}"
    );
    let labels = run.iter().find_map(|line| line.strip_prefix("LABEL ")).expect("labels");
    for label in ["version=\"$VERSION\"", "revision=\"$REVISION\"", "licenses=\"Apache-2.0\""] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}")), "{labels}");
    }
    assert!(labels.contains(&field("description")), "{labels}");
    let copies: Vec<_> = run.iter().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(copies, ["COPY --from=build /build/target/dist/zendesk-gateway /usr/local/bin/zendesk-gateway"]);
    assert!(run.contains(&r#"ENTRYPOINT ["/usr/local/bin/zendesk-gateway"]"#.to_owned()), "{run:?}");

    let chart: Value = serde_yaml_ng::from_str(&read("helm/Chart.yaml")).expect("YAML");
    assert_eq!(chart["appVersion"], field("version"), "the chart's tag is the crate's version");
    if has_helm() {
        let rendered = render(&[scenario("api-token")], &serde_json::json!({}));
        let context = &rendered.deployment()["spec"]["template"]["spec"]["securityContext"];
        let user = format!("USER {}:{}", context["runAsUser"], context["runAsGroup"]);
        assert!(run.contains(&user), "{user}: {run:?}");
        let ports =
            rendered.gateway()["ports"].as_array().expect("ports").iter().map(|port| port["containerPort"].to_string());
        assert!(run.contains(&format!("EXPOSE {}", ports.collect::<Vec<_>>().join(" "))), "{run:?}");
        assert_eq!(rendered.gateway()["image"], format!("zendesk-gateway:{}", field("version")));
        assert!(rendered.gateway()["command"].is_null(), "the image's own");
    }
}

/// Takes minutes, so it runs where `IMAGE_BUILD` names a folder for the build.
#[test]
fn the_release_build_of_the_image_makes_a_binary_that_runs_on_its_base_alone() {
    let Some(target) = std::env::var_os("IMAGE_BUILD") else {
        eprintln!("SKIPPED: IMAGE_BUILD names no folder; the image's build was not tried");
        return;
    };
    let (build, _) = stages();
    let line = build.iter().find_map(|line| line.strip_prefix("RUN cargo ")).expect("a build");
    let folder = build_folder();
    let mut shell = Command::new("sh");
    shell.args(["-ec", &format!("\"$CARGO\" {line}")]).current_dir(folder.path());
    shell.env("CARGO", cargo().get_program()).env("FEATURES", "").env("CARGO_TARGET_DIR", &target);
    let built = shell.output().expect("sh starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let binary = Path::new(&target).join("dist/zendesk-gateway");
    let run = |args: &[&str]| {
        let output = Command::new(&binary).args(args).env_clear().output().expect("it starts");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (well, version) = run(&["--version"]);
    assert!(well && version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let (_, help) = run(&["serve", "--help"]);
    assert!(help.contains("--listen") && !help.contains("--sandbox"), "the stand-in is left out: {help}");
    assert!(!run(&["sandbox"]).0);
    let (well, mistakes) = run(&["check"]);
    assert!(!well && mistakes.contains("upstream.subdomain"), "{mistakes}");

    // What gcr.io/distroless/cc-debian12 has: glibc and libgcc.
    let linked = Command::new("ldd").arg(&binary).output().expect("ldd starts");
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
    let there = [
        "linux-vdso",
        "libgcc_s.so.1",
        "libm.so.6",
        "libc.so.6",
        "ld-linux",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
    ];
    for library in linked.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(there.iter().any(|known| library.contains(known)), "not in the base image: {library}");
    }
    assert!(linked.contains("libc.so.6"), "{linked}");
}
