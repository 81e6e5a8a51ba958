//! Rendered objects against the schemas of Kubernetes and of the objects that others define.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::rendered::{has_helm, render, root, scenario, scenarios};
use crate::support::tools::{is_installed, python};

/// The oldest that the chart takes, two between, and the newest that the schemas are there for.
const VERSIONS: [&str; 4] = ["1.27", "1.30", "1.33", "1.37"];

/// Returns the problems of YAML documents, or nothing where the tools are missing.
fn problems(yaml: &str) -> Option<Value> {
    let definitions = std::env::var_os("CRDS").map_or_else(|| root().join("target/ci-tools/crds"), Into::into);
    let mut probe = python();
    probe.args(["-c", "import sys, kubernetes_validate, yaml, os; sys.exit(not os.listdir(sys.argv[1]))"]);
    probe.arg(&definitions);
    if !is_installed("Python with kubernetes-validate, or the folder CRDS with definitions of other objects", probe) {
        return None;
    }
    let mut command: Command = python();
    command.arg("tests/clients/kubernetes.py").arg(definitions).args(VERSIONS).current_dir(root());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(yaml.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the validator fails");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
#[ignore = "slow"]
fn every_object_of_every_scenario_passes_the_strict_schemas_of_four_versions() {
    if !has_helm() {
        return;
    }
    let (mut all, mut count) = (Vec::new(), 0);
    for (name, files) in scenarios() {
        let rendered = render(&files, &json!({}));
        count += rendered.objects.len();
        all.push(format!("---\n# {name}\n{}\n", rendered.yaml));
    }
    let Some(found) = problems(&all.concat()) else { return };
    assert_eq!(found["problems"], json!([]));
    let judged: u64 = found["kinds"].as_object().expect("a map").values().filter_map(Value::as_u64).sum();
    assert_eq!(usize::try_from(judged).expect("a number"), count, "every object was judged");
}

#[test]
fn the_schemas_would_have_found_a_misspelt_field() {
    if !has_helm() {
        return;
    }
    let yaml = render(&[scenario("monitoring")], &json!({})).yaml;
    for (right, wrong, kind) in [
        ("terminationGracePeriodSeconds:", "terminationGracePeriodSecond:", "Deployment/"),
        ("scrapeTimeout:", "scrapeTimeouts:", "ServiceMonitor/"),
    ] {
        assert!(yaml.contains(right), "{right}");
        let Some(found) = problems(&yaml.replace(right, wrong)) else { return };
        let problems = found["problems"].as_array().expect("a list");
        assert!(problems.iter().any(|problem| problem.as_str().is_some_and(|text| text.starts_with(kind))), "{found}");
    }
}
