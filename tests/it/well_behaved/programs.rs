//! Clients in other languages: a program each, which reads a plan and says what it saw.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::plan::Plan;
use super::results::Results;
use crate::support::tools::{is_installed, python};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// Until a program has read its plan and is connected, on a machine that is busy with others.
const START: Duration = Duration::from_mins(2);

/// Returns the command of a language's clients, without the name of the plan, if the language is there. `NODE_PATH` and `CLASSPATH`
/// say where the packages for Node.js and Java are; Go fetches its own.
pub fn command(language: &str, folder: &Path) -> Option<Command> {
    let built = folder.join("go-clients");
    let (tool, mut probe, mut command) = match language {
        "Python" => ("Python with grpcio and protobuf", python(), python()),
        "Node.js" => ("Node.js with @grpc/grpc-js and @grpc/proto-loader", Command::new("node"), Command::new("node")),
        "Go" => ("Go with google.golang.org/grpc", Command::new("go"), Command::new(&built)),
        "Java" => ("Java with grpc-java", Command::new("javap"), Command::new("java")),
        _ => panic!("no clients in {language}"),
    };
    match language {
        "Python" => probe.args(["-c", "import grpc, google.protobuf"]),
        "Node.js" => probe.args(["-e", "require('@grpc/grpc-js'), require('@grpc/proto-loader')"]),
        "Go" => probe.args(["build", "-o"]).arg(&built).arg(".").current_dir(format!("{FOLDER}/go-grpc")),
        _ => probe.args([
            "io.grpc.protobuf.ProtoUtils",
            "io.grpc.stub.ClientCalls",
            "com.google.protobuf.util.JsonFormat",
        ]),
    };
    match language {
        "Python" => command.arg(format!("{FOLDER}/well_behaved.py")),
        "Node.js" => command.arg(format!("{FOLDER}/well_behaved.js")),
        "Java" => command.arg(format!("{FOLDER}/java/WellBehaved.java")),
        _ => &mut command,
    };
    is_installed(tool, probe).then_some(command)
}

/// A program that runs; dropping it kills it.
pub struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub async fn start(mut command: Command, plan: &Plan, language: &str, folder: &Path) -> Self {
        let file = folder.join(format!("{language}.json"));
        tokio::fs::write(&file, serde_json::to_vec(plan).expect("JSON")).await.expect("written");
        command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("it starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// Waits until its clients are connected and see that the gateway serves.
    pub async fn is_ready(&mut self, language: &str) {
        let mut line = String::new();
        let read = timeout(START, self.output.read_line(&mut line)).await;
        read.unwrap_or_else(|_| panic!("{language} is not ready in time")).expect("text");
        assert_eq!(line.trim(), "ready", "{language}");
    }

    pub async fn begin(&mut self) {
        self.input.write_all(b"begin\n").await.expect("it reads");
    }

    pub async fn results(mut self, within: Duration) -> Results {
        let mut text = String::new();
        timeout(within, self.output.read_to_string(&mut text)).await.expect("it ends in time").expect("text");
        assert!(self.child.wait().await.expect("it ran").success(), "{text}");
        serde_json::from_str(&text).expect("its results")
    }
}
