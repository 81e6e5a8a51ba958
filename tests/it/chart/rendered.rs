//! Runs helm, and reads what it rendered.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize as _;
use serde_json::Value;

use crate::support::tools::is_installed;

pub const RELEASE: &str = "shop";
pub const FULL_NAME: &str = "shop-zendesk-gateway";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns whether helm can be used; the tests that need it end here where it is missing.
pub fn has_helm() -> bool {
    let mut probe = Command::new("helm");
    probe.arg("version");
    is_installed("helm", probe)
}

/// The values files of `helm/ci`, and the one for high availability over the least that an account needs.
pub fn scenarios() -> Vec<(String, Vec<PathBuf>)> {
    let chart = root().join("helm");
    let folder = std::fs::read_dir(chart.join("ci")).expect("a folder");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let name = |file: &Path| file.file_name().expect("a name").to_string_lossy().replace("-values.yaml", "");
    let mut scenarios: Vec<_> = files.into_iter().map(|file| (name(&file), vec![file])).collect();
    let high = vec![chart.join("values-ha.yaml"), scenario("api-token")];
    scenarios.push(("values-ha".to_owned(), high));
    scenarios
}

pub fn scenario(name: &str) -> PathBuf {
    root().join("helm/ci").join(format!("{name}-values.yaml"))
}

/// What helm said.
pub struct Said {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `helm COMMAND… -f FILE…`, with `values` over the files.
pub fn helm(command: &[&str], files: &[PathBuf], values: &Value) -> Said {
    let mut over = tempfile::Builder::new().suffix(".json").tempfile().expect("a temporary file");
    write!(over, "{values}").expect("it can be written");
    let mut helm = Command::new("helm");
    helm.args(command).current_dir(root());
    // Nothing of the machine's own: neither plugins nor a cluster.
    let home = over.path().parent().expect("a folder");
    helm.env("HELM_PLUGINS", home.join("no-plugins")).env("KUBECONFIG", "/dev/null").env_remove("HELM_DEBUG");
    for file in files {
        helm.arg("-f").arg(file);
    }
    let output = helm.arg("-f").arg(over.path()).output().expect("helm starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// The objects of a rendered release.
pub struct Rendered {
    pub yaml: String,
    pub objects: Vec<Value>,
}

/// Renders the chart, or returns what helm refused it with.
pub fn try_render(files: &[PathBuf], values: &Value) -> Result<Rendered, String> {
    let said = helm(&["template", RELEASE, "helm", "--namespace", "support"], files, values);
    if !said.success {
        return Err(said.stderr);
    }
    assert_eq!(said.stderr, "", "helm warns");
    // The YAML reader refuses a key that stands twice.
    let objects = serde_yaml_ng::Deserializer::from_str(&said.stdout).map(|document| {
        let value =
            serde_yaml_ng::Value::deserialize(document).unwrap_or_else(|error| panic!("{error}\n{}", said.stdout));
        serde_json::to_value(value).expect("it has a form in JSON")
    });
    let objects = objects.filter(|object| !object.is_null()).collect();
    Ok(Rendered { yaml: said.stdout, objects })
}

#[track_caller]
pub fn render(files: &[PathBuf], values: &Value) -> Rendered {
    try_render(files, values).unwrap_or_else(|error| panic!("{files:?}: {error}"))
}

impl Rendered {
    /// The only object of a kind with this name.
    #[track_caller]
    pub fn one(&self, kind: &str, name: &str) -> &Value {
        let mut found = self.objects.iter().filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        let first = found.next().unwrap_or_else(|| panic!("no {kind} {name} in\n{}", self.yaml));
        assert!(found.next().is_none(), "two of {kind} {name}");
        first
    }

    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    #[track_caller]
    pub fn deployment(&self) -> &Value {
        self.of("Deployment").next().expect("a Deployment")
    }

    /// The pods: the Deployment's first, then the test's, then the one that checks the settings.
    pub fn pods(&self) -> Vec<&Value> {
        let mut pods = vec![&self.deployment()["spec"]["template"]];
        pods.extend(self.of("Pod"));
        pods.extend(self.of("Job").map(|job| &job["spec"]["template"]));
        pods
    }

    /// The gateway's own container.
    #[track_caller]
    pub fn gateway(&self) -> &Value {
        container(&self.deployment()["spec"]["template"], "gateway")
    }

    /// The settings as the binary gets them.
    #[track_caller]
    pub fn toml(&self) -> &str {
        settings_of(&self.deployment()["spec"]["template"])
    }
}

/// The settings that a pod carries.
#[track_caller]
pub fn settings_of(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["zendesk-gateway/config"].as_str().expect("an annotation with the settings")
}

#[track_caller]
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    list(&pod["spec"]["containers"]).find(|container| container["name"] == name).expect("a container")
}

/// The items of a list; none where there is no list.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
