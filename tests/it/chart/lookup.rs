//! What the chart makes of what is in the cluster already, as an API server tells it that knows nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::rendered::{RELEASE, has_helm, helm, render, scenario};

/// A cluster: the kinds that it has, by group and version, and the names of the objects that are there.
struct Cluster {
    kinds: BTreeMap<String, Vec<String>>,
    there: Vec<String>,
}

impl Cluster {
    /// Knows the kinds that the chart renders, and has the objects with these paths.
    fn of(files: &[PathBuf], values: &Value, there: &[&str]) -> Self {
        let mut kinds = BTreeMap::<String, Vec<String>>::new();
        for object in ["v1/Secret", "v1/ConfigMap", "batch/v1/Job"] {
            let (group, kind) = object.rsplit_once('/').expect("a group");
            kinds.entry(group.to_owned()).or_default().push(kind.to_owned());
        }
        for object in render(files, values).objects {
            let text = |key: &str| object[key].as_str().expect("text").to_owned();
            let all = kinds.entry(text("apiVersion")).or_default();
            if !all.contains(&text("kind")) {
                all.push(text("kind"));
            }
        }
        Self { kinds, there: there.iter().map(|&path| path.to_owned()).collect() }
    }

    fn answer(&self, path: &str) -> Option<Value> {
        let version = |group: &str| json!({"groupVersion": group, "version": group.rsplit('/').next()});
        match path.trim_start_matches('/') {
            "version" => Some(json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})),
            "api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
            "apis" => {
                let groups = self.kinds.keys().filter(|group| group.contains('/')).map(|group| {
                    let name = group.split('/').next();
                    json!({"name": name, "versions": [version(group)], "preferredVersion": version(group)})
                });
                Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()}))
            }
            path => {
                let (_, path) = path.split_once('/')?;
                if let Some(kinds) = self.kinds.get(path) {
                    let resources = kinds.iter().map(|kind| {
                        let name = kind.to_lowercase();
                        json!({
                            "name": format!("{name}s"), "singularName": name, "namespaced": true, "kind": kind,
                            "verbs": ["get", "list", "create"],
                        })
                    });
                    let resources: Vec<_> = resources.collect();
                    return Some(json!({"kind": "APIResourceList", "groupVersion": path, "resources": resources}));
                }
                let is_there = self.there.iter().any(|there| path.ends_with(&format!("/namespaces/support/{there}")));
                is_there.then(|| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "there"}}))
            }
        }
    }

    /// Answers at the returned address until the process ends.
    fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let cluster = Arc::new(self);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let cluster = Arc::clone(&cluster);
                std::thread::spawn(move || {
                    let lines = BufReader::new(&socket).lines().map_while(Result::ok);
                    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                    let target = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
                    let (status, body) = match cluster.answer(target.split('?').next().unwrap_or_default()) {
                        Some(body) => ("200 OK", body),
                        None => (
                            "404 Not Found",
                            json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}),
                        ),
                    };
                    let body = body.to_string();
                    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close");
                    let _ = write!(&socket, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                });
            }
        });
        address
    }
}

/// Returns when the settings are checked in an upgrade of a release in a cluster that has these objects; none if they are not.
fn hooks(name: &str, values: &Value, there: &[&str]) -> Option<String> {
    let files = [scenario(name)];
    let address = Cluster::of(&files, values, there).serve();
    let upgrade = ["template", RELEASE, "helm", "--namespace", "support", "--is-upgrade", "--dry-run=server"];
    let there = ["--disable-openapi-validation", "--kube-token", "any", "--kube-apiserver", &address];
    let said = helm(&[&upgrade[..], &there].concat(), &files, values);
    assert!(said.success, "{}", said.stderr);
    let line = said.stdout.lines().find(|line| line.contains("helm.sh/hook:") && line.contains("pre-upgrade"))?;
    line.split_once(": ").map(|(_, hooks)| hooks.to_owned())
}

#[test]
#[ignore = "slow"]
fn an_upgrade_that_makes_what_its_check_would_need_is_not_held_up_by_it() {
    if !has_helm() {
        return;
    }
    let issued = json!({"tls": {"certificate": {"enabled": true, "issuerRef": {"name": "ca"}}}});
    let live = &*format!("deployments/{RELEASE}-zendesk-gateway");
    let secret = "secrets/zendesk";
    let certificate = &*format!("secrets/{RELEASE}-zendesk-gateway-tls");
    assert_eq!(hooks("api-token", &issued, &[live, secret]), None, "cert-manager makes it after the upgrade");
    let both = hooks("api-token", &issued, &[live, secret, certificate]);
    assert_eq!(both.as_deref(), Some("pre-upgrade"), "from the next upgrade on it is checked again");
    assert!(hooks("api-token", &issued, &[]).is_some(), "there is no release in this cluster to ask about");
    let missing = hooks("api-token", &json!({}), &[live]);
    assert!(missing.is_some(), "the release makes nothing: what is missing then is a mistake");
    let live = &*format!("deployments/{RELEASE}-zendesk");
    assert_eq!(hooks("extras", &json!({}), &[live]), None, "its extraObjects may make what it mounts");
}
