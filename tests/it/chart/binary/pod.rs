//! A container as the kubelet would run it, but in a folder instead of an image.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::rendered::{FULL_NAME, Rendered, container, list, render};
use crate::support::tools::is_installed;

/// Long enough for the slowest machine; whoever waits that long has found a fault.
const PATIENCE: Duration = Duration::from_mins(1);

/// The content of a file by its path.
pub type Secrets<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// A container's files, arguments and environment, below a folder.
pub struct Laid {
    pub folder: TempDir,
    pub args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Laid {
    /// Lays out what the container mounts. Files that others make have the content of [`Secrets`].
    pub fn out(rendered: &Rendered, pod: &Value, container: &Value, secrets: Secrets<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().to_str().expect("a plain name").to_owned();
        let paths: Vec<&str> =
            list(&container["volumeMounts"]).map(|mount| mount["mountPath"].as_str().expect("a path")).collect();
        let moved =
            |text: &str| paths.iter().fold(text.to_owned(), |text, path| text.replace(path, &format!("{root}{path}")));

        for (mount, path) in list(&container["volumeMounts"]).zip(&paths) {
            let inside = PathBuf::from(format!("{root}{path}"));
            std::fs::create_dir_all(&inside).expect("it can be made");
            let volume =
                list(&pod["spec"]["volumes"]).find(|volume| volume["name"] == mount["name"]).expect("a volume");
            for (name, content) in files(rendered, pod, volume) {
                std::fs::write(inside.join(name), moved(&content)).expect("it can be written");
            }
        }
        for (key, path) in file_settings(rendered.toml()) {
            let mounted = paths.iter().any(|mount| path.starts_with(&format!("{mount}/")));
            // The token of a fleet is for pods that serve.
            let left_out =
                container["name"] == "health" || path.ends_with("/fleet/token") && container["name"] == "settings";
            assert!(mounted || left_out, "{key} = {path} is in no mounted folder: {paths:?}");
            let place = PathBuf::from(moved(&path));
            if mounted && !place.exists() {
                std::fs::write(place, secrets(&path)).expect("it can be written");
            }
        }
        let args = list(&container["args"]).map(|arg| moved(arg.as_str().expect("text"))).collect();
        let mut env: Vec<(String, String)> = Vec::new();
        for variable in list(&container["env"]) {
            // What comes from the pod's own fields is any text, but for its address.
            let of_field = if variable["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP" {
                "127.0.0.1"
            } else {
                "from-a-field"
            };
            let mut value = variable["value"].as_str().unwrap_or(of_field).to_owned();
            for (name, known) in &env {
                value = value.replace(&format!("$({name})"), known);
            }
            env.push((variable["name"].as_str().expect("a name").to_owned(), moved(&value)));
        }
        Self { folder, args, env }
    }

    /// The binary with the container's environment and nothing else.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        command.env_clear().envs(self.env.iter().cloned()).current_dir(self.folder.path());
        command
    }
}

/// The files of a volume that the release itself fills.
fn files(rendered: &Rendered, pod: &Value, volume: &Value) -> Vec<(String, String)> {
    if let Some(items) = volume["downwardAPI"]["items"].as_array() {
        return items.iter().map(|item| from_a_field(pod, item)).collect();
    }
    let (kind, name, field) = match (&volume["configMap"]["name"], &volume["secret"]["secretName"]) {
        (Value::String(name), _) => ("ConfigMap", name, "data"),
        (_, Value::String(name)) => ("Secret", name, "stringData"),
        _ => return Vec::new(),
    };
    let object = rendered.of(kind).find(|object| object["metadata"]["name"] == *name);
    let data = object.and_then(|object| object[field].as_object());
    let pair = |(name, content): (&String, &Value)| (name.clone(), content.as_str().expect("text").to_owned());
    data.into_iter().flatten().map(pair).collect()
}

/// A file with the content of one of the pod's own annotations.
fn from_a_field(pod: &Value, item: &Value) -> (String, String) {
    let field = item["fieldRef"]["fieldPath"].as_str().expect("a field");
    let key = field.strip_prefix("metadata.annotations['").and_then(|rest| rest.strip_suffix("']"));
    let content = pod["metadata"]["annotations"][key.expect("an annotation")].as_str().expect("text");
    (item["path"].as_str().expect("a path").to_owned(), content.to_owned())
}

/// The settings that name files.
fn file_settings(toml: &str) -> Vec<(String, String)> {
    let pairs = toml.lines().filter_map(|line| line.trim().split_once(" = "));
    let files = pairs.filter(|(key, _)| key.ends_with("_file") || *key == "file");
    files.map(|(key, path)| (key.to_owned(), path.trim_matches('"').to_owned())).collect()
}

/// The gateway's container, running. It is killed when the test ends early.
pub struct Running {
    pub rendered: Rendered,
    child: Child,
    signalled: Option<Instant>,
    _laid: Laid,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Running {
    /// Starts it on free ports and waits until it is ready.
    pub async fn start(scenario: &[PathBuf], values: &Value, secrets: Secrets<'_>) -> Self {
        // Between choosing a port and listening on it somebody else may take it.
        for _ in 0..10 {
            let [grpc, admin] = free_ports();
            let mut values = values.clone();
            values["config"]["server"]["listen"] = json!(format!("0.0.0.0:{grpc}"));
            values["config"]["admin"]["listen"] = json!(format!("0.0.0.0:{admin}"));
            // There is no API server here.
            values["fleet"]["mode"] = json!("off");
            let rendered = render(scenario, &values);
            let laid = Laid::out(&rendered, &rendered.deployment()["spec"]["template"], rendered.gateway(), secrets);
            let mut command = laid.command();
            let child = command.args(&laid.args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let mut child = child.expect("it starts");
            let listens = tells_where_it_listens(child.stdout.take().expect("piped"));
            let running = Self { rendered, child, signalled: None, _laid: laid };
            if tokio::time::timeout(PATIENCE, listens).await.expect("it says something or ends").is_ok() {
                running.passes("startupProbe").await;
                running.passes("readinessProbe").await;
                return running;
            }
        }
        panic!("it ended at once, ten times");
    }

    /// Returns the port of a name.
    #[track_caller]
    pub fn port(&self, name: &str) -> u64 {
        let port = list(&self.rendered.gateway()["ports"]).find(|port| port["name"] == name).expect("a port");
        port["containerPort"].as_u64().expect("a number")
    }

    /// Waits until a probe passes.
    pub async fn passes(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(problem) = self.probe(name).await {
            assert!(Instant::now() < deadline, "{name} fails: {problem}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks once, as the kubelet does.
    pub async fn probe(&self, name: &str) -> Result<(), String> {
        let probe = &self.rendered.gateway()[name];
        let asked = async {
            let get = &probe["httpGet"];
            let port = self.port(get["port"].as_str().expect("a port's name"));
            let url = format!("http://127.0.0.1:{port}{}", get["path"].as_str().expect("a path"));
            let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(answer.status().to_string()) }
        };
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| "no answer".to_owned())?
    }

    /// Runs the test's call of the port, which stands for the Service, by a name of this machine.
    pub async fn passes_its_test(&self, host: &str, secrets: Secrets<'_>) {
        let mut probe = Command::new("grpcurl");
        probe.arg("-version");
        if !is_installed("grpcurl", probe) {
            return;
        }
        let pod = self.rendered.of("Pod").next().expect("the test's pod");
        let laid = Laid::out(&self.rendered, pod, container(pod, "health"), secrets);
        let (service, here) = (format!("{FULL_NAME}:50051"), format!("{host}:{}", self.port("grpc")));
        assert!(laid.args.contains(&service), "it calls through the Service: {:?}", laid.args);
        let args: Vec<String> = laid.args.iter().map(|arg| arg.replace(&service, &here)).collect();
        let called = tokio::task::spawn_blocking(|| Command::new("grpcurl").args(args).output());
        let called = called.await.expect("no panic").expect("it starts");
        let told = format!("{}{}", String::from_utf8_lossy(&called.stdout), String::from_utf8_lossy(&called.stderr));
        assert!(called.status.success() && told.contains("\"SERVING\""), "{told}");
    }

    /// Sends SIGTERM, as Kubernetes does.
    pub fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        self.signalled = Some(Instant::now());
    }

    /// Waits until the readiness probe is answered with a no.
    pub async fn is_no_longer_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.probe("readinessProbe").await {
                Err(problem) if problem == "NotServing" || problem.starts_with("503") => return,
                other => assert!(Instant::now() < deadline, "the probe says {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits no longer than Kubernetes would.
    pub async fn ends_within_its_grace_period(mut self) {
        let grace = &self.rendered.deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        let signalled = self.signalled.expect("it was told to end");
        let deadline = signalled + Duration::from_secs(grace.as_u64().expect("a number"));
        let ended = loop {
            if let Some(ended) = self.child.try_wait().expect("it can be asked") {
                break ended;
            }
            assert!(Instant::now() < deadline, "Kubernetes would have killed it");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(ended.success(), "it ends with {ended}");
    }
}

/// Completes when the process says where it listens, with an error where it ends instead. What it says later is read, too, so
/// that nothing blocks it.
fn tells_where_it_listens(stdout: ChildStdout) -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut tell = Some(tell);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(tell) = tell.take_if(|_| line.starts_with("gRPC on ")) {
                tell.send(()).ok();
            }
        }
    });
    told
}

fn free_ports() -> [u16; 2] {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}
