//! Secrets that change while calls are made with them.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use tonic::Request;
use zendesk_gateway::proto::{CreateGroupRequest, GroupInput, StreamGroupsRequest};
use zendesk_gateway::upstream::credential::Proof;

use super::*;
use crate::support::load::{Load, reloads, spoil};
use crate::support::{plain, until, with};

/// Puts callers to work who read past the cache, write and stream.
pub fn under_load(t: &TestGateway) -> Load {
    let mut load = Load::default();
    for id in t.sandbox.store().user_ids().into_iter().take(4) {
        let users = t.users();
        load.add(move || {
            let mut users = users.clone();
            async move {
                users
                    .get_user(with(GetUserRequest { id, ..Default::default() }, &[("cache-control", "no-cache")]))
                    .await
                    .map(drop)
            }
        });
    }
    let groups = t.groups();
    load.add(move || {
        let mut groups = groups.clone();
        async move {
            let group = GroupInput { name: Some("made under load".to_owned()), ..GroupInput::default() };
            groups.create_group(CreateGroupRequest { group: Some(group) }).await?;
            let request = StreamGroupsRequest { page_size: 5, ..StreamGroupsRequest::default() };
            let mut rows = groups.stream_groups(request).await?.into_inner().take(3);
            while let Some(part) = rows.next().await {
                part?;
            }
            Ok(())
        }
    });
    load
}

/// The `authorization` of the requests so far, the last first.
fn sent(sandbox: &Sandbox) -> impl Iterator<Item = String> {
    let requests = sandbox.requests();
    requests.into_iter().rev().map(|request| request.headers["authorization"].to_str().expect("ASCII").to_owned())
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("the file can be written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn fifty_rotations_under_load_with_half_written_files_fail_no_call() {
    let folder = TempDir::new().expect("a temporary folder");
    // As Kubernetes mounts a secret: the file is a link through a folder that is itself a link, which is swapped.
    let file = folder.path().join("token");
    std::os::unix::fs::symlink("..data/token", &file).expect("a link");
    let publish = |number: usize, text: &str| {
        let version = folder.path().join(format!("..{number}"));
        std::fs::create_dir(&version).expect("a folder");
        write(&version.join("token"), text);
        let next = folder.path().join("..data_tmp");
        std::os::unix::fs::symlink(&version, &next).expect("a link");
        std::fs::rename(&next, folder.path().join("..data")).expect("swapped");
    };
    let watcher = watcher();
    let (t, source) = signed_and_watched(&watcher, |sandbox| {
        publish(0, &sandbox.config().credential.oauth_token);
        config::Credential::OauthToken { token_file: file.clone() }
    })
    .await;
    let load = under_load(&t);
    load.round().await;
    let mut keys = t.sandbox.config().credential.clone();
    for number in 1..=50 {
        keys.oauth_token = format!("rotated-{number:03}-{:016x}", number * 7919);
        // The new token is created, handed out, and only then is the old one revoked.
        t.sandbox.admit_credential(keys.clone());
        t.sandbox.reset_stats();
        let (half, whole) = (&keys.oauth_token[..9], format!("{}\n", keys.oauth_token));
        match number % 5 {
            0 => {
                // Left half-written for so long that the half is taken for the secret, and used.
                write(&file, half);
                let wrong = format!("Bearer {half}");
                until(|| load.has_failed() || sent(&t.sandbox).any(|header| header == wrong)).await;
                write(&file, &whole);
            }
            1 => {
                spoil(&file, b"", &watcher, "credential").await;
                write(&file, &whole);
            }
            2 => {
                write(&file, half);
                write(&file, &whole);
            }
            _ => publish(number, &whole),
        }
        let right = format!("Bearer {}", keys.oauth_token);
        until(|| load.has_failed() || sent(&t.sandbox).any(|header| header == right)).await;
        load.round().await;
        t.sandbox.rotate_credential(keys.clone());
        load.round().await;
        if load.has_failed() {
            break;
        }
    }
    let rounds = load.end().await;
    assert!(rounds >= 5 * 4 * 50, "{rounds} rounds");
    assert!(source.view().expires.is_none());
    t.stop().await;
}

#[tokio::test]
async fn a_new_secret_is_tried_at_once_and_taken_when_zendesk_accepts_it() {
    for has_called in [true, false] {
        a_new_secret_is_tried(has_called).await;
    }
}

/// The first secret is accepted by a call, or by the answer to the question at the start: a replica may never send a call itself.
async fn a_new_secret_is_tried(has_called: bool) {
    let folder = TempDir::new().expect("a temporary folder");
    let watcher = watcher();
    let mut file = None;
    let (t, source) = signed_and_watched(&watcher, |sandbox| {
        let token_file = secret(&folder, &sandbox.config().credential.oauth_token);
        file = Some(token_file.clone());
        config::Credential::OauthToken { token_file }
    })
    .await;
    let file = file.expect("it was made");
    if has_called {
        let id = t.sandbox.store().user_ids()[0];
        t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("the first is accepted");
    } else {
        let proof = source.prove(&plain(&t.sandbox.base_url()), Duration::from_secs(10)).await;
        assert!(matches!(proof, Proof::Accepted(_)), "{proof:?}");
    }
    let state = || {
        let all = watcher.reloads();
        let one = all.iter().find(|one| one.what == "credential").expect("it is watched");
        (one.taken, one.failed, one.failing)
    };
    assert_eq!(state(), (0, 0, false));
    write(&file, "this-is-not-the-token\n");
    until(|| state() == (0, 1, true)).await;

    let mut keys = t.sandbox.config().credential.clone();
    "the-next-token-0123456789".clone_into(&mut keys.oauth_token);
    t.sandbox.admit_credential(keys.clone());
    write(&file, &format!("{}\n", keys.oauth_token));
    until(|| state() == (1, 1, false)).await;
    t.stop().await;
}

#[tokio::test]
async fn a_secret_that_mends_a_wrong_one_of_the_start_is_taken_as_others_are() {
    let (folder, watcher) = (TempDir::new().expect("a temporary folder"), watcher());
    let (t, source) = signed_and_watched(&watcher, |_| config::Credential::OauthToken {
        token_file: secret(&folder, "this-is-not-the-token"),
    })
    .await;
    let zendesk = plain(&t.sandbox.base_url());
    let proof = source.prove(&zendesk, Duration::from_secs(10)).await;
    assert!(matches!(proof, Proof::Refused(_)), "{proof:?}");
    secret(&folder, &t.sandbox.config().credential.oauth_token);
    until(|| reloads(&watcher, "credential") == (1, 0)).await;
    t.stop().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_before_its_successor_was_seen_is_looked_up_within_the_call() {
    let folder = TempDir::new().expect("a temporary folder");
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    let mut keys = sandbox.config().credential.clone();
    let settings_of = config::Credential::OauthToken { token_file: secret(&folder, &keys.oauth_token) };
    let rarely = Watcher::every(Duration::from_hours(1));
    let source = Source::start(&settings_of, &plain(&sandbox.base_url()), &rarely).await.expect("a secret");
    let t = TestGateway::using(sandbox, settings(), source).await;
    let id = t.sandbox.store().user_ids()[0];
    "next".clone_into(&mut keys.oauth_token);
    t.sandbox.rotate_credential(keys);
    secret(&folder, "next");
    let user = t
        .users()
        .get_user(GetUserRequest { id, ..Default::default() })
        .await
        .expect("sent again with what stands in the file");
    assert_eq!(user.metadata().get("x-upstream-calls").expect("a count"), "2");
}

#[tokio::test]
#[ignore = "slow"]
async fn whatever_becomes_of_its_file_the_last_good_secret_stays_in_use() {
    let kinds: [fn(&Sandbox, &TempDir) -> config::Credential; 2] = [
        |sandbox, folder| {
            let known = &sandbox.config().credential;
            config::Credential::ApiToken { email: known.email.clone(), token_file: secret(folder, &known.api_token) }
        },
        |sandbox, folder| {
            let known = &sandbox.config().credential;
            config::Credential::Password { email: known.email.clone(), password_file: secret(folder, &known.password) }
        },
    ];
    for kind in kinds {
        let (folder, watcher) = (TempDir::new().expect("a temporary folder"), watcher());
        let (t, _) = signed_and_watched(&watcher, |sandbox| kind(sandbox, &folder)).await;
        let ask = async |when: &str| {
            for _ in 0..5 {
                let me = t.users().get_current_user(GetCurrentUserRequest::default()).await;
                let me = me.unwrap_or_else(|status| panic!("{when}: {status}")).into_inner().user.expect("a user");
                assert_eq!(me.email.as_ref(), Some(&t.sandbox.config().credential.email), "{when}");
                let id = t.sandbox.store().user_ids()[0];
                let user = with(GetUserRequest { id, ..Default::default() }, &[("cache-control", "no-cache")]);
                t.users().get_user(user).await.unwrap_or_else(|status| panic!("{when}: {status}"));
            }
        };
        // Nothing but this call, which Zendesk answers for a wrong password, too.
        t.users().get_current_user(GetCurrentUserRequest::default()).await.expect("the first secret is right");
        let file = folder.path().join("secret");
        for wrong in ["mistyped", "half"] {
            let (_, failed) = reloads(&watcher, "credential");
            secret(&folder, wrong);
            until(|| reloads(&watcher, "credential").1 > failed).await;
            ask(wrong).await;
        }
        for bad in [&b""[..], b"two\nlines\n", b"\xff\xfe"] {
            spoil(&file, bad, &watcher, "credential").await;
            ask(&format!("{bad:?}")).await;
        }
        let (_, failed) = reloads(&watcher, "credential");
        std::fs::remove_file(&file).expect("removed");
        until(|| reloads(&watcher, "credential").1 > failed).await;
        ask("removed").await;
        t.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_new_secret_is_tried_once_and_the_one_before_stays_in_use() {
    let folder = TempDir::new().expect("a temporary folder");
    let (t, _) = signed(|sandbox| {
        let known = &sandbox.config().credential;
        config::Credential::ApiToken { email: known.email.clone(), token_file: secret(&folder, &known.api_token) }
    })
    .await;
    let mut requests = 0;
    let ask = async || {
        let mut request = Request::new(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() });
        request.metadata_mut().insert("cache-control", "no-cache".parse().expect("ASCII"));
        t.users().get_user(request).await.expect("the credential before is good")
    };
    ask().await;
    secret(&folder, "mistyped");
    let wrong = basic(&format!("{}/token:mistyped", t.sandbox.config().credential.email));
    let wrong = wrong.header().expect("a header").to_str().expect("ASCII").to_owned();
    while !sent(&t.sandbox).any(|header| header == wrong) {
        ask().await;
        requests += 1;
        assert!(requests < 10_000, "it is never tried");
    }
    for _ in 0..20 {
        ask().await;
    }
    let tried = sent(&t.sandbox).filter(|header| *header == wrong).count();
    assert!(tried <= 2, "once by a call, and once to know of it: {tried}");
}
