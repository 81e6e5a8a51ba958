//! The cases of h2spec, the conformance tests of HTTP/2, against the gRPC port, in plaintext and over TLS.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::TestGateway;
use crate::support::authority::Authority;
use crate::support::binary::Binary;
use crate::support::raw::{LONG, Wire, frame};
use crate::support::tools::is_installed;

const SECURITY: &str = include_str!("../../docs/security.md");

/// The cases that the security page excuses: the first two columns of its table, between its marks.
fn excused() -> BTreeSet<String> {
    let table = SECURITY.split("<!-- h2spec -->").nth(1).expect("the security page has a table between its marks");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let cases = rows.map(|row| {
        let mut columns = row.split(" | ");
        let (section, case) = (columns.next().expect("a section"), columns.next().expect("a case"));
        assert!(columns.next().is_some_and(|why| why.len() > 40), "each with its reason: {row}");
        format!("{} {case}", section.trim_end_matches('`'))
    });
    cases.collect()
}

/// Runs all cases, and returns how many there were, and those that did not pass.
fn run(address: &str, wire: &[&str], report: &Path) -> (usize, BTreeSet<String>) {
    let (host, port) = address.rsplit_once(':').expect("an address");
    let mut command = Command::new("h2spec");
    command.args(["--strict", "--timeout", "5", "--host", host, "--port", port]);
    command.args(["--path", "/zendesk.gateway.v1.UserService/GetUser", "--junit-report"]).arg(report).args(wire);
    let output = command.output().expect("it starts");
    let report = std::fs::read_to_string(report);
    let report = report.unwrap_or_else(|error| panic!("no report: {error}: {output:?}"));
    let (mut cases, mut failed) = (0, BTreeSet::new());
    for case in report.split("<testcase ").skip(1) {
        let of = |attribute: &str| {
            let value = case.split_once(&format!("{attribute}=\"")).expect("an attribute").1;
            value.split('"').next().expect("its end").replace("&#34;", "\"")
        };
        let end = case.find("</testcase>").expect("its end");
        cases += 1;
        if case[..end].contains("<error>") || case[..end].contains("<failure>") {
            failed.insert(format!("{} {}", of("package"), of("classname")));
        }
    }
    (cases, failed)
}

async fn passes(gateway: &Binary, wire: &'static [&'static str]) {
    let mut probe = Command::new("h2spec");
    probe.arg("--version");
    if !is_installed("h2spec (Go module github.com/summerwind/h2spec)", probe) {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (address, report) = (gateway.address.clone(), folder.path().join("report.xml"));
    let mut unexcused: Option<BTreeSet<String>> = None;
    // h2spec's streams are no gRPC calls, so they are answered at once. A frame that comes after that is for a stream that has ended, and
    // then h2spec waits in vain. A case that passes once shows what becomes of the frame.
    for _ in 0..5 {
        let (address, report) = (address.clone(), report.clone());
        let ran = tokio::task::spawn_blocking(move || run(&address, wire, &report)).await;
        let (cases, failed) = ran.expect("no panic");
        println!("{cases} cases, of which {} did not pass: {failed:#?}", failed.len());
        assert!(cases > 140, "{cases} cases");
        let now: BTreeSet<String> = failed.difference(&excused()).cloned().collect();
        let still = unexcused.map_or_else(|| now.clone(), |before| before.intersection(&now).cloned().collect());
        if still.is_empty() {
            return;
        }
        unexcused = Some(still);
    }
    panic!("not named in docs/security.md: {unexcused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_of_h2spec_pass_in_plaintext() {
    passes(&Binary::start(&[]).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_cases_of_h2spec_pass_over_tls() {
    let folder = TempDir::new().expect("a folder");
    let files = Authority::new().sign().write(folder.path());
    let path = |file: &Option<PathBuf>| file.as_ref().and_then(|file| file.to_str()).expect("a path").to_owned();
    let (certificate, key) = (path(&files.cert_file), path(&files.key_file));
    let settings = [("SERVER__TLS__CERT_FILE", certificate.as_str()), ("SERVER__TLS__KEY_FILE", &key)];
    passes(&Binary::start(&settings).await, &["--tls", "--insecure"]).await;
}

/// What h2spec cannot see here, because the calls that it makes end at once.
#[tokio::test]
async fn calls_beyond_the_limit_of_a_connection_are_refused_without_being_begun() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::begin(&gateway.address).await;
    let most = 100;
    let streams = (0..=most).map(|number| 2 * number + 1);
    let frames: Vec<u8> = streams.flat_map(|stream| frame(1, 4, stream, &headers())).collect();
    wire.socket.write_all(&frames).await.expect("taken");
    let refused = async {
        loop {
            let mut head = [0; 9];
            wire.socket.read_exact(&mut head).await.expect("the connection stays");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            wire.socket.read_exact(&mut payload).await.expect("the connection stays");
            if head[3] == 3 {
                return (u32::from_be_bytes(head[5..].try_into().expect("four bytes")), payload);
            }
        }
    };
    let (stream, reason) = tokio::time::timeout(LONG, refused).await.expect("it answers");
    assert_eq!((stream, reason), (2 * most + 1, vec![0, 0, 0, 7]), "REFUSED_STREAM");
}

/// A call's headers, each field spelled out.
fn headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // POST, http
    for (name, value) in [
        (&[0x04][..], "/zendesk.gateway.v1.UserService/GetUser"), // :path
        (&[0x01], "gateway"),                                     // :authority
        (&[0x0f, 0x10], "application/grpc"),                      // content-type
        (&[0x00, 0x02, b't', b'e'], "trailers"),
    ] {
        block.extend(name);
        block.push(u8::try_from(value.len()).expect("short"));
        block.extend(value.as_bytes());
    }
    block
}
