//! The pages for callers in each language: their programs are those of `examples/`, and their commands do what they say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use zendesk_gateway::sandbox;

use crate::support::tools::{is_installed, python};
use crate::support::{TestGateway, account};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Walks a page, or one section of it, in an empty folder. `tools` must be there, with the arguments that show it.
async fn walk(page: &str, section: Option<&str>, tools: &[&[&str]]) {
    for tool in tools {
        let mut probe = Command::new(tool[0]);
        probe.args(&tool[1..]);
        if !is_installed(tool[0], probe) {
            return;
        }
    }
    // As many users as the demo has, whose answers the pages show.
    let t = TestGateway::with(sandbox::Config { users: 25_000, ..account() }).await;
    let mut walk = python();
    walk.args(["tests/clients/walk.py", page, &t.address]).args(section).current_dir(REPOSITORY);
    let output = tokio::task::spawn_blocking(move || walk.output()).await.expect("no panic").expect("it starts");
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", printed.join("\n"));
}

const PYTHON: &[&str] = &["python3", "-c", "import venv, ensurepip"];
const GO: &[&str] = &["go", "version"];
const BUF: &[&str] = &["buf", "--version"];
const NODE: &[&str] = &["npm", "--version"];
const MAVEN: &[&str] = &["mvn", "--version"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_newcomer_gets_there_from_the_shell() {
    walk("docs/clients.md", None, &[&["python3", "--version"], BUF, &["grpcurl", "-version"]]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_first_calls_of_the_readme_work_as_they_are() {
    walk("README.md", Some("First calls"), &[&["python3", "--version"], &["grpcurl", "-version"]]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_newcomer_gets_there_in_python() {
    walk("docs/clients/python.md", None, &[PYTHON]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_newcomer_gets_there_in_go() {
    walk("docs/clients/go.md", None, &[PYTHON, GO, BUF]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_newcomer_gets_there_in_node() {
    walk("docs/clients/node.md", None, &[PYTHON, NODE]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_newcomer_gets_there_in_typescript() {
    walk("docs/clients/typescript.md", None, &[PYTHON, NODE]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_newcomer_gets_there_in_java() {
    walk("docs/clients/java.md", None, &[PYTHON, MAVEN]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_jobs_in_python_do_what_they_say() {
    walk("examples/README.md", Some("Python"), &[PYTHON]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_jobs_in_go_do_what_they_say() {
    walk("examples/README.md", Some("Go"), &[PYTHON, GO, BUF]).await;
}

/// The files that a page has its reader save, by their names without folders.
fn saved(page: &str) -> Vec<(&str, &str)> {
    page.split("Save this as `")
        .skip(1)
        .map(|after| {
            let (name, block) = after.split_once('`').expect("a name");
            let (_, text) = block.split_once("```").and_then(|(_, code)| code.split_once('\n')).expect("a block");
            (name.rsplit('/').next().expect("a name"), text.split("```").next().expect("its end"))
        })
        .collect()
}

#[test]
fn the_pages_show_the_programs_of_the_examples() {
    let examples = Path::new(REPOSITORY).join("examples/first_calls");
    let mut unseen: BTreeSet<PathBuf> = BTreeSet::new();
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&examples).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            unseen.extend(std::fs::read_dir(&entry).expect("a folder").map(|file| file.expect("a file").path()));
            pages.push(entry);
        } else {
            unseen.insert(entry);
        }
    }
    for folder in pages {
        let language = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        let page = std::fs::read_to_string(format!("{REPOSITORY}/docs/clients/{language}.md")).expect("its page");
        for (name, shown) in saved(&page) {
            // What languages share lies beside their folders.
            for file in [folder.join(name), examples.join(name)] {
                if let Ok(program) = std::fs::read_to_string(&file) {
                    assert!(program == shown, "docs/clients/{language}.md does not show {}", file.display());
                    unseen.remove(&file);
                }
            }
        }
    }
    assert!(unseen.is_empty(), "no page shows {unseen:?}");
}
