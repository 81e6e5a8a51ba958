//! The jobs of `examples/jobs/python`, each beside the script for the same that people write against the REST API
//! (`tests/clients/rest_scripts`): both leave the same, and the job needs fewer requests to Zendesk.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use zendesk_gateway::contract::RPCS;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{UpdateUserRequest, UserInput};
use zendesk_gateway::sandbox::faults::{Eof, Respond, put};
use zendesk_gateway::sandbox::{self, Sandbox};

use crate::support::tools::{is_installed, python};
use crate::support::{TestGateway, account, api_token, serve, settings};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/README.md");

/// The jobs, and what makes the difference.
const JOBS: [(&str, &str); 12] = [
    ("sync_people", "new and changed people go a hundred at a time; an address takes as many requests as by hand"),
    ("leavers", "a hundred people are looked up with one request, and changed with one"),
    ("export_agents", "group names come with the memberships, and only the organizations that agents are in are read"),
    ("onboard_agent", "a new agent gets the groups when created; then only what is missing is written"),
    ("import_people", "the jobs of all requests are followed together"),
    (
        "merge_duplicates",
        "users come a thousand at a time, and those to be merged are read once more a hundred at a time",
    ),
    ("audit_groups", "all memberships are one list, and their agents come with them"),
    ("find_users", "one search finds 25 addresses"),
    ("tag_users", "a hundred users are looked up with one request, and adding a tag needs no reading before it"),
    ("purge_deleted", "recent deletions are not read; each erasure is a request of its own for everybody"),
    ("set_default_group", "the default group of a hundred agents is changed with one request"),
    ("users_per_organization", "memberships are one list, a hundred at a time"),
];

/// Those that say what they would do.
const WITH_DRY_RUN: [&str; 8] = [
    "sync_people",
    "leavers",
    "onboard_agent",
    "import_people",
    "merge_duplicates",
    "tag_users",
    "purge_deleted",
    "set_default_group",
];

/// An account that scripts, too, can use: plain HTTP, and links that lead back to it.
fn plain() -> sandbox::Config {
    sandbox::Config { users: 2_000, link_host: None, wire: sandbox::Wire::default(), ..account() }
}

/// The examples with the generated code, made as `examples/README.md` says; none where that cannot be done.
fn examples() -> Option<TempDir> {
    let mut probe = python();
    probe.args(["-c", "import grpc, grpc_status, grpc_tools"]);
    if !is_installed("Python with grpcio, grpcio-status and grpcio-tools", probe) {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let entries =
        |folder: &Path| std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    for program in entries(&Path::new(REPOSITORY).join("examples/jobs/python")) {
        std::fs::copy(&program, path(program.file_name().and_then(|name| name.to_str()).expect("a name")))
            .expect("it is copied");
    }
    let mut protoc = python();
    protoc.args(["-m", "grpc_tools.protoc"]).arg(format!("-I{REPOSITORY}/proto"));
    protoc.args(["--python_out", "--grpc_python_out"].map(|out| format!("{out}={}", folder.path().display())));
    protoc.args(entries(&Path::new(REPOSITORY).join("proto/zendesk/gateway/v1")));
    assert!(protoc.status().expect("it starts").success());
    std::fs::rename(path("zendesk/gateway/v1"), path("zendesk_gateway")).expect("it is moved");
    for module in entries(&path("zendesk_gateway")) {
        let code = std::fs::read_to_string(&module).expect("text");
        let code = code.replace("from zendesk.gateway.v1 import", "from . import");
        std::fs::write(&module, code).expect("it is written");
    }
    Some(folder)
}

/// Runs a program of `tests/clients` or of the examples.
async fn run(program: impl AsRef<Path>, arguments: &[&str], address: &str, examples: &TempDir) -> Output {
    let credential = plain().credential;
    let mut command: Command = python();
    command.arg(Path::new(REPOSITORY).join(program)).args(arguments).current_dir(examples.path());
    command.env("PYTHONPATH", examples.path()).env("PYTHONDONTWRITEBYTECODE", "1").env("GATEWAY_ADDRESS", address);
    command.env("ZENDESK_EMAIL", credential.email).env("ZENDESK_TOKEN", credential.api_token);
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it starts")
}

/// What a program has printed, and its errors.
fn text(output: &Output) -> (String, String) {
    let [printed, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (printed, errors)
}

const COMPARE: &str = "tests/clients/rest_scripts/compare.py";

fn url(sandbox: &Sandbox) -> String {
    sandbox.base_url().as_str().trim_end_matches('/').to_owned()
}

/// How many requests Zendesk received.
#[derive(Deserialize)]
struct Counted {
    rest: u64,
    gateway: u64,
    /// Those of the gateway for background jobs, which are as many as the machine is slow.
    polls: u64,
}

async fn counted(job: &str, examples: &TempDir) -> Counted {
    let own = Sandbox::start(plain()).await.expect("a free port");
    let t = TestGateway::with(plain()).await;
    let (rest, gateway, folder) = (url(&own), url(&t.sandbox), examples.path().display().to_string());
    let output = run(COMPARE, &[job, &rest, &t.address, &gateway, &folder], &t.address, examples).await;
    let (printed, errors) = text(&output);
    assert!(output.status.success(), "{job}: {errors}");
    println!("{job}\n{errors}");
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{job}: {printed}"))
}

/// `BLESS=1 cargo test --test it scripts -- --include-ignored` writes the table of `examples/README.md`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn each_job_does_what_its_script_does_with_fewer_requests() {
    let Some(examples) = examples() else { return };
    let all = futures_util::stream::iter(JOBS).map(|(job, _)| counted(job, &examples)).buffered(2);
    let all: Vec<Counted> = all.collect().await;
    let head = "| job | script | program | what makes the difference |\n|---|---|---|---|\n";
    let readme = std::fs::read_to_string(README).expect("text");
    let (before, rest) = readme.split_once(head).expect("the table's head");
    let (present, after) = rest.split_once("\n\n").expect("its end");
    let mut table = String::new();
    for ((job, why), counted) in JOBS.into_iter().zip(&all) {
        writeln!(table, "| `{job}` | {} | {} | {why} |", counted.rest, counted.gateway).expect("a string takes it");
    }
    println!("{head}{table}");
    for ((job, _), counted) in JOBS.iter().zip(&all) {
        assert!(
            counted.gateway < counted.rest,
            "{job}: {} requests are not fewer than {}",
            counted.gateway,
            counted.rest
        );
    }
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(README, format!("{before}{head}{}\n\n{after}", table.trim_end()))
            .expect("it is written");
    }
    let rows: Vec<&str> = present.lines().collect();
    let is_so = rows.len() == JOBS.len()
        && rows.iter().zip(JOBS).zip(&all).all(|((row, (job, why)), Counted { rest, gateway, polls })| {
            (gateway.saturating_sub(*polls)..=gateway + polls)
                .any(|gateway| *row == format!("| `{job}` | {rest} | {gateway} | {why} |"))
        });
    assert!(is_so, "examples/README.md is stale: BLESS=1 cargo test --test it scripts");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_dry_run_of_a_job_says_what_it_would_do_and_changes_nothing() {
    let Some(examples) = examples() else { return };
    let t = TestGateway::with(plain()).await;
    for job in WITH_DRY_RUN {
        let (account, folder) = (url(&t.sandbox), examples.path().display().to_string());
        let output = run(COMPARE, &["--dry-run", job, &t.address, &account, &folder], &t.address, &examples).await;
        assert!(output.status.success(), "{job}: {}", text(&output).1);
    }
}

/// Somebody else changes a user between the look at what would be merged and the merge, which cannot be undone.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn who_is_no_duplicate_any_more_is_not_merged() {
    let Some(examples) = examples() else { return };
    let t = TestGateway::with(plain()).await;
    let program = examples.path().join("merge_duplicates.py");
    let (printed, errors) = text(&run(&program, &["--dry-run"], &t.address, &examples).await);
    let first = printed.lines().next().and_then(|line| line.split_whitespace().next());
    let id: i64 = first.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{printed}{errors}"));
    let (_, channel, _running, _) = serve(&t.sandbox.base_url(), api_token(&t.sandbox), settings()).await;
    let user = Some(UserInput { name: Some("Quite Another Person".to_owned()), ..Default::default() });
    let change = UpdateUserRequest { id, user, ..Default::default() };
    UserServiceClient::new(channel).update_user(change).await.expect("it is renamed");
    let (printed, errors) = text(&run(&program, &[], &t.address, &examples).await);
    assert!(printed.contains(" is merged into "), "{printed}{errors}");
    let user = t.sandbox.store().user(id).expect("it is there");
    assert_eq!((&user["name"], &user["active"]), (&"Quite Another Person".into(), &true.into()), "{printed}");
}

/// Each program has its row in both tables, and `docs/from-rest.md` names the RPCs that it calls.
#[test]
fn the_pages_name_each_job_and_what_it_calls() {
    let folder = Path::new(REPOSITORY).join("examples/jobs/python");
    let mut jobs = JOBS.map(|(job, _)| job);
    jobs.sort_unstable();
    let files = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut programs: Vec<String> =
        files.filter_map(|name| Some(name.to_str()?.strip_suffix(".py")?.to_owned())).collect();
    programs.retain(|name| name != "gateway");
    programs.sort_unstable();
    assert_eq!(programs, jobs, "every program is compared with a script");
    let readme = std::fs::read_to_string(README).expect("text");
    let page = include_str!("../../../docs/from-rest.md");
    for (job, _) in JOBS {
        assert!(readme.contains(&format!("\n| `{job}` ")), "examples/README.md does not say what {job} does");
        let row =
            page.lines().find(|line| line.contains(&format!("(`{job}`) |"))).expect("docs/from-rest.md has its row");
        let calls = row.rsplit_once("| ").expect("a table").1;
        // What comes behind these is another way to do it.
        let calls = calls.split(';').next().and_then(|calls| calls.split(", or").next()).expect("a part");
        let program = std::fs::read_to_string(folder.join(format!("{job}.py"))).expect("a program");
        let rpcs: Vec<&str> =
            calls.split('`').skip(1).step_by(2).filter(|word| word.starts_with(char::is_uppercase)).collect();
        assert!(!rpcs.is_empty(), "{row}");
        for rpc in rpcs {
            assert!(RPCS.iter().any(|known| known.method == rpc), "{rpc} is no RPC");
            assert!(program.contains(&format!(".{rpc}")), "{job}.py does not call {rpc}");
        }
    }
}

/// Three users of whom one is refused, and the answer about one is lost.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_job_says_which_rows_failed_and_why_and_does_them_when_it_is_started_again() {
    let Some(examples) = examples() else { return };
    let t = TestGateway::with(plain()).await;
    let store = t.sandbox.store();
    let users = store.user_ids().into_iter().filter_map(|id| store.user(id));
    let users = users.filter_map(|user| Some((user["id"].as_i64()?, user["external_id"].as_str()?.to_owned())));
    let users: Vec<(i64, String)> = users.take(3).collect();
    let names: Vec<&str> = users.iter().map(|(_, name)| name.as_str()).collect();
    std::fs::write(examples.path().join("users.txt"), names.join("\n")).expect("it is written");
    let program = examples.path().join("tag_users.py");
    let tag = async || text_and_code(&run(&program, &["users.txt", "moved"], &t.address, &examples).await);

    let tags_of = |user: usize| put(&format!("/users/{}/tags", users[user].0));
    let refused = json!({"error": "RecordInvalid", "description": "Record validation errors", "details": {}});
    t.sandbox.fault(tags_of(0), Respond::with(422).json(refused).once());
    t.sandbox.fault(tags_of(1), Eof::before_headers().forever());
    let (code, printed, errors) = tag().await;
    assert_eq!(
        (code, printed.as_str()),
        (Some(1), format!("{} got moved\n1 changed, 0 were right before\n", names[2]).as_str())
    );
    let failed = |user: usize, reason: &str| errors.contains(&format!("{} FAILED {reason} ", names[user]));
    assert!(failed(0, "RECORD_INVALID") && failed(1, "OUTCOME_UNKNOWN"), "{errors}");
    assert!(errors.ends_with("2 failed: RECORD_INVALID 1, OUTCOME_UNKNOWN 1\n"), "{errors}");

    t.sandbox.faults().clear();
    t.sandbox.fault(put("*"), Respond::with(401).forever());
    let (code, printed, errors) = tag().await;
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(
        errors.starts_with("INTERNAL CREDENTIAL_REFUSED: "),
        "what does not lie in a row ends it at once: {errors}"
    );

    t.sandbox.faults().clear();
    let (code, printed, errors) = tag().await;
    let done = format!("{} got moved\n{} got moved\n2 changed, 1 were right before\n", names[0], names[1]);
    assert_eq!((code, printed, errors.as_str()), (Some(0), done, ""));
}

fn text_and_code(output: &Output) -> (Option<i32>, String, String) {
    let (printed, errors) = text(output);
    (output.status.code(), printed, errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_repeats_what_was_refused_for_now_and_no_write_that_was_lost() {
    let Some(examples) = examples() else { return };
    let output = run("tests/clients/job_calls.py", &[], "", &examples).await;
    assert!(output.status.success(), "{}", text(&output).1);
}
