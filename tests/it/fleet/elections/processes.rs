//! The real binary as three processes, by the true clock.

use std::time::Duration;

use tempfile::TempDir;
use tonic::Code;
use zendesk_gateway::proto::{CreateGroupRequest, GetUserRequest, GroupInput};
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::sandbox::faults::{Delay, post};

use super::cluster::{ApiServer, LEASE, pod};
use crate::fleet::metadata;
use crate::support::binary::Binary;
use crate::support::raw::Raw;
use crate::support::{account, refused, with};

struct Process {
    name: String,
    binary: Binary,
    _folder: TempDir,
}

impl Process {
    async fn start(sandbox: &Sandbox, api: &ApiServer, number: usize) -> Self {
        let name = format!("gateway-{number}");
        let folder = pod(api, &name);
        let path = |file: &str| folder.path().join(file).to_string_lossy().into_owned();
        // Others must know the port before it is bound.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let (token, listen) = (path("fleet"), format!("127.0.0.1:{port}"));
        let settings = [
            ("FLEET__MODE", "kubernetes"),
            ("FLEET__NAME", &name),
            ("FLEET__LISTEN", &listen),
            ("FLEET__ADDRESS", "127.0.0.1"),
            ("FLEET__KUBERNETES__LEASE", LEASE),
            ("FLEET__KUBERNETES__TOKEN_FILE", &token),
            ("FLEET__KUBERNETES__FOLDER", &path("")),
            ("FLEET__KUBERNETES__API_SERVER", api.url.as_str()),
            ("SERVER__DRAIN__ANNOUNCE", "0s"),
        ];
        let binary = Binary::before(sandbox, &settings).await;
        Self { name, binary, _folder: folder }
    }

    /// Who has answered a read, which may take as long as a leader needs to be replaced.
    async fn served_by(&self, id: i64) -> String {
        let read = with(GetUserRequest { id, ..Default::default() }, &[("grpc-timeout", "25S")]);
        metadata(&self.binary.users().await.get_user(read).await.expect("a read"), "x-served-by")
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn three_processes_go_on_while_leaders_leave_and_are_killed() {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    let api = ApiServer::start().await;
    let id = sandbox.store().user_ids()[0];
    let mut processes = Vec::new();
    for number in 0..3 {
        processes.push(Process::start(&sandbox, &api, number).await);
    }
    let first = processes[0].served_by(id).await;
    for process in &processes {
        assert_eq!(process.served_by(id).await, first);
        assert!(process.binary.is_ready().await);
    }
    // Each has asked once about its credential.
    assert_eq!((sandbox.total_hits(), api.term()), (3 + 1, 1), "one leader with one cache");

    let place = |processes: &[Process], name: &str| processes.iter().position(|one| one.name == name).expect("it runs");
    let leader = processes.remove(place(&processes, &first));
    leader.binary.signal("TERM").await;
    let began = std::time::Instant::now();
    // It answers until it has heard the signal.
    let second = loop {
        let second = processes[0].served_by(id).await;
        assert!(began.elapsed() < Duration::from_secs(6), "the lead was handed over: {:?}", began.elapsed());
        if second != first {
            break second;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(leader.binary.ended(Duration::from_mins(1)).await.0.success());

    let mut leader = processes.remove(place(&processes, &second));
    leader.binary.kill().await;
    let third = processes[0].served_by(id).await;
    assert_eq!((third.as_str(), api.term(), api.holders()), (processes[0].name.as_str(), 3, 3));
}

/// Writes whose deadlines end while the lead is handed over: whoever is told anything else than that the outcome is unknown may
/// repeat the write.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn no_write_that_was_sent_is_told_as_one_that_was_not_while_a_leader_leaves() {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    let api = ApiServer::start().await;
    let id = sandbox.store().user_ids()[0];
    let mut processes = Vec::new();
    for number in 0..3 {
        processes.push(Process::start(&sandbox, &api, number).await);
    }
    let first = processes[0].served_by(id).await;
    for process in &processes {
        assert_eq!(process.served_by(id).await, first);
    }
    sandbox.fault(post("*"), Delay::by(Duration::from_millis(300)).forever());
    let mut writes = Vec::new();
    for number in 0..48 {
        // A client without a timer of its own.
        let raw = Raw::connect(&processes[number % 3].binary.address).await.0;
        let timeout = ["480m", "600m", "700m", "850m", "1000m", "1200m"][number / 3 % 6];
        writes.push(tokio::spawn(async move {
            let name = format!("Group {number:02}");
            let group = GroupInput { name: Some(name.clone()), ..GroupInput::default() };
            let (path, write) =
                ("/zendesk.gateway.v1.GroupService/CreateGroup", CreateGroupRequest { group: Some(group) });
            let answer = raw.call(path, &[("grpc-timeout", timeout)], &write).await.expect("an answer");
            (name, answer.status())
        }));
        if number == 24 {
            let leader = processes.iter().find(|process| process.name == first).expect("it runs");
            leader.binary.signal("TERM").await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut unknown = 0;
    for write in writes {
        let (name, status) = write.await.expect("no panic");
        let is_it = |body: &[u8]| String::from_utf8_lossy(body).contains(&name);
        let sent = sandbox.requests().iter().filter(|sent| sent.method == "POST" && is_it(&sent.body)).count();
        assert!(sent <= 1, "{name}: {sent}");
        if status.code() == Code::Ok {
            continue;
        }
        let told = refused(Err::<(), _>(status));
        let is_unknown = told.reason == "OUTCOME_UNKNOWN";
        assert!(is_unknown || sent == 0, "{name}, which was sent: {} {}", told.reason, told.message);
        unknown += usize::from(is_unknown);
    }
    println!("{unknown} of 48 have an unknown outcome");
}
