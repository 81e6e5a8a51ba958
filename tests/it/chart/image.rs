//! The Dockerfile, step by step, for there is not always an engine to run it.

use std::collections::BTreeSet;
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

/// The instructions of the stage that builds, of the one that holds the symbols, and of the one that runs.
fn stages() -> [Vec<String>; 3] {
    let mut stages: Vec<Vec<String>> = Vec::new();
    for line in instructions().into_iter().skip_while(|line| line.starts_with("ARG ")) {
        if line.starts_with("FROM ") {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("a stage comes first").push(line);
    }
    stages.try_into().expect("three stages")
}

/// What an instruction copies from the repository, and to where.
fn copied(instruction: &str) -> Vec<(String, String)> {
    let Some(line) = instruction.strip_prefix("COPY ") else { return Vec::new() };
    let mut paths: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let to = paths.pop().expect("a target");
    let place = |from: &str| {
        let name = from.rsplit('/').next().expect("a name");
        to.strip_suffix('/').map_or(to.clone(), |folder| format!("{folder}/{name}"))
    };
    paths.into_iter().map(|from| (from.clone(), place(&from))).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("it can be made");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("it can be made");
        std::fs::copy(from, to).expect("it can be copied");
    }
}

/// Does in a folder what the first stage does: copies, and of what is run that for which `runs` is true.
fn build(folder: &Path, runs: impl Fn(&str) -> bool) {
    let [stage, ..] = stages();
    for line in &stage {
        for (from, to) in copied(line) {
            copy(&root().join(from), &folder.join(to));
        }
        let Some(command) = line.strip_prefix("RUN ").filter(|command| runs(command)) else { continue };
        let mut shell = Command::new("sh");
        shell.args(["-ec", &command.replace("cargo ", "\"$CARGO\" ")]).current_dir(folder);
        let platform = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let platform = std::env::var("IMAGE_PLATFORM").unwrap_or_else(|_| platform.to_owned());
        shell.env("CARGO", cargo().get_program()).env("FEATURES", "").env_remove("CARGO_TARGET_DIR");
        shell.env("TARGETARCH", platform);
        if is_quick() {
            shell.env("CARGO_PROFILE_DIST_OPT_LEVEL", "1").env("CARGO_PROFILE_DIST_LTO", "off");
            shell.env("CARGO_PROFILE_DIST_CODEGEN_UNITS", "16");
        }
        let done = shell.output().expect("sh starts");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

fn is_quick() -> bool {
    std::env::var_os("IMAGE_QUICK").is_some()
}

/// The targets that the manifest names itself, and the file that each is expected to be.
fn named_targets() -> Vec<(String, String)> {
    let manifest = read("Cargo.toml");
    let mut targets = Vec::new();
    for table in manifest.split("\n[[").skip(1) {
        let (kind, rest) = table.split_once("]]").expect("the end of a heading");
        let name = rest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).expect("a name");
        let path = rest.split("\n[").next().and_then(|table| table.split("path = \"").nth(1)?.split('"').next());
        let folder = if kind == "bench" { "benches" } else { "tests" };
        let file = path.map_or_else(|| format!("{folder}/{name}.rs"), str::to_owned);
        targets.push((format!("{kind} {name}"), file));
    }
    targets
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[test]
fn the_build_gets_what_it_needs_and_nothing_else() {
    let ignored = read(".dockerignore");
    let let_in: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let [stage, ..] = stages();
    let copied: Vec<(String, String)> = stage.iter().flat_map(|line| copied(line)).collect();
    let wanted: BTreeSet<&str> = copied.iter().filter_map(|(from, _)| from.split('/').next()).collect();
    assert_eq!(let_in, wanted, "the context holds what is copied");
    assert!(ignored.lines().any(|line| line == "*"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    build(folder.path(), |command| command.starts_with("mkdir "));
    // `cargo metadata` says nothing of a target that is named without being there; a build ends with it.
    for (target, file) in named_targets() {
        assert!(folder.path().join(&file).exists(), "the manifest names {target}, and there is no {file}");
    }
    let mut cargo = cargo();
    cargo.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]).current_dir(folder.path());
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_image_fits_the_crate_and_the_chart() {
    let [build, symbols, run] = stages();
    let manifest = read("Cargo.toml");
    let field = |name: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        line.and_then(|rest| rest.split('"').next()).expect("a field").to_owned()
    };
    let all = instructions();
    let image = |name: &str| {
        let image = all.iter().find_map(|line| line.strip_prefix(&format!("ARG {name}="))).expect("a base image");
        assert!(!image.contains('@'), "releases find the digest: {image}");
        image.to_owned()
    };
    assert!(image("RUST_IMAGE").contains(&format!("rust:{}-", field("rust-version"))));
    assert!(image("BASE_IMAGE").ends_with(":nonroot"));
    assert_eq!(build[0], "FROM --platform=$BUILDPLATFORM $RUST_IMAGE AS build", "it is cross-compiled");
    assert_eq!(run[0], "FROM $BASE_IMAGE");
    let release = read(".ci/release");
    assert!(release.contains("by_digest RUST_IMAGE") && release.contains("by_digest BASE_IMAGE"), "{release}");
    let cargo = r#"cargo build --profile dist --locked --package zendesk-gateway --no-default-features --features "kubernetes $FEATURES" --bin zendesk-gateway"#;
    let place =
        |wanted: &str| build.iter().position(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted}"));
    let of_source = place("COPY src ");
    assert!(place(&format!("RUN {cargo}")) < of_source, "dependencies are a layer of their own");
    assert!(build[of_source..].iter().any(|line| line.ends_with(cargo)), "{build:?}");
    assert!(build.contains(&r#"ARG FEATURES="""#.to_owned()), "nothing optional unless it is asked for");
    let of_platforms = all.iter().filter(|line| line.contains("amd64") || line.contains("x86_64"));
    assert_eq!(of_platforms.count(), 1, "one instruction knows the platforms");

    assert!(run.iter().all(|line| !line.starts_with("RUN ")), "no shell: {run:?}");
    let set: Vec<_> = run.iter().filter(|line| line.starts_with("ENV ")).collect();
    // The comparison of benches/compare/peers.rs sets the same.
    assert_eq!(set, ["ENV MIMALLOC_PURGE_DELAY=25"], "nothing of the gateway's own settings");
    let labels = run.iter().find_map(|line| line.strip_prefix("LABEL ")).expect("labels");
    for label in ["version=\"$VERSION\"", "revision=\"$REVISION\"", "licenses=\"Apache-2.0\""] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}")), "{labels}");
    }
    assert!(labels.contains(&field("description")), "{labels}");
    let copies: Vec<_> = run.iter().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(copies, ["COPY --from=build /build/zendesk-gateway /usr/local/bin/zendesk-gateway"]);
    assert_eq!(symbols[1..], ["COPY --from=build /build/zendesk-gateway.debug /"]);
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

/// Takes minutes, so it runs where `IMAGE_BUILD` names a folder for the build. With `IMAGE_QUICK` the binary is optimised as for a
/// first look, in half the time, and its size is not judged.
#[test]
fn the_release_build_of_the_image_makes_a_binary_that_runs_on_its_base_alone() {
    let Some(target) = std::env::var_os("IMAGE_BUILD") else {
        eprintln!("SKIPPED: IMAGE_BUILD names no folder; the image's build was not tried");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(&target).expect("it can be made");
    std::os::unix::fs::symlink(&target, folder.path().join("target")).expect("it can be linked");
    // With the target folder of another build its dependencies are there already.
    build(folder.path(), |command| !command.starts_with("apt-get ") && !command.starts_with("rustup "));

    let binary = folder.path().join("zendesk-gateway");
    let size = std::fs::metadata(&binary).expect("the binary").len();
    assert!(is_quick() || size <= 25_000_000, "{size} bytes");
    let symbols = std::fs::metadata(folder.path().join("zendesk-gateway.debug")).expect("the symbols").len();
    assert!(symbols > size / 2, "{symbols} bytes of symbols");
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
