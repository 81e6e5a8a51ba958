//! The real binary as three processes, by the true clock.

use std::time::Duration;

use tempfile::TempDir;
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::sandbox::Sandbox;

use super::cluster::{ApiServer, LEASE, pod};
use crate::fleet::metadata;
use crate::support::binary::Binary;
use crate::support::{account, with};

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
