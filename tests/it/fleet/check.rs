//! `check` of the certificates by which replicas are to know each other.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use super::support::Fleet;
use crate::support::authority::{Authority, Signed};

/// Runs `check` with files, as the leader or as a follower, and returns whether all is well and what it prints.
async fn check(folder: &Path, arguments: &[&str], place: (&str, &str)) -> (bool, String) {
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command.args(["check", "--sandbox"]).args(arguments).env_clear();
    let files = [("CERT_FILE", "tls.crt"), ("KEY_FILE", "tls.key"), ("CA_FILE", "ca.crt")];
    let files = files.map(|(key, name)| (format!("TLS__{key}"), file(name)));
    let of = [("MODE".to_owned(), "static".to_owned()), (place.0.to_owned(), place.1.to_owned())];
    for (key, value) in files.into_iter().chain(of) {
        command.env(format!("ZENDESK_GATEWAY__FLEET__{key}"), value);
    }
    let output = command.output().await.expect("the binary runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

const LEADER: (&str, &str) = ("LISTEN", "127.0.0.1:50052");
const FOLLOWER: (&str, &str) = ("LEADER", "localhost:50052");

#[tokio::test]
#[ignore = "slow"]
async fn certificates_by_which_no_replica_would_be_known_are_refused_by_their_setting() {
    let (ours, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    std::fs::write(folder.path().join("ca.crt"), ours.pem()).expect("written");
    let other = ours.sign();
    let mixed = Signed { key: other.key, ..ours.sign() };
    let ended = ours.sign_until(SystemTime::now() - Duration::from_hours(1));
    let (no_key, no_certificate) = (Signed { key: "k".to_owned(), ..ours.sign() }, "c".to_owned());
    let no_certificate = Signed { certificate: no_certificate, ..ours.sign() };
    for (signed, leads, follows) in [
        (ours.sign(), "", ""),
        (ours.sign_for(&["localhost"], &[ServerAuth, ClientAuth]), "", ""),
        (ours.sign_for(&["localhost"], &[ServerAuth]), "", "cert_file: is not for clients (clientAuth)"),
        (ours.sign_for(&["localhost"], &[ClientAuth]), "cert_file: is not for servers (serverAuth)", ""),
        (ours.sign_for(&[], &[]), "cert_file: names no host (subjectAltName)", ""),
        (ended, "cert_file: the certificate has ended", "cert_file: the certificate has ended"),
        (mixed, "key_file: the key is not that of the certificate", "key_file: the key is not that of the certificate"),
        (no_key, "key_file: it is no PEM private key", "key_file: it is no PEM private key"),
        (no_certificate, "cert_file: no certificate in it", "cert_file: no certificate in it"),
        (
            Authority::new().sign(),
            "cert_file: is signed by no authority in fleet.tls.ca_file",
            "cert_file: is signed by no authority in fleet.tls.ca_file",
        ),
    ] {
        signed.write(folder.path());
        for (place, wanted) in [(LEADER, leads), (FOLLOWER, follows)] {
            let (well, said) = check(folder.path(), &[], place).await;
            assert_eq!(well, wanted.is_empty(), "{place:?}, {wanted}: {said}");
            assert!(well || said.contains(&format!("fleet.tls.{wanted}")), "{place:?}, {wanted}: {said}");
        }
    }
    std::fs::write(folder.path().join("ca.crt"), "no PEM").expect("written");
    let (well, said) = check(folder.path(), &[], LEADER).await;
    assert!(!well && said.contains("fleet.tls.ca_file: no certificate in it"), "{said}");
}

#[tokio::test]
async fn check_online_looks_at_the_certificate_that_the_leader_shows() {
    let fleet = Fleet::start(0).await;
    let address = fleet.leader().internal.expect("it leads");
    let by_name = format!("localhost:{}", address.port());
    let (well, said) = check(fleet.papers.folder(), &["--online"], ("LEADER", &by_name)).await;
    assert!(well && said.contains(&format!("leader: {by_name} shows a certificate that is taken here")), "{said}");
    let (well, said) = check(fleet.papers.folder(), &["--online"], ("LEADER", &address.to_string())).await;
    assert!(
        !well && said.contains("leader: FAILED: ") && said.contains("is for localhost, not for 127.0.0.1"),
        "{said}"
    );
    fleet.stop().await;
}
