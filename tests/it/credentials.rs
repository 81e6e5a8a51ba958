//! The credentials that calls are made with: each kind from its file, and what callers and operators see of a wrong one.

mod oauth_client;
mod on_behalf_of;
mod pass_through;
mod rotation;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tonic::Code;
use zendesk_gateway::config::{self, OauthClient};
use zendesk_gateway::proto::{CreateUserRequest, GetCurrentUserRequest, GetUserRequest, UserInput};
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::upstream::credential::Source;
use zendesk_gateway::watch::Watcher;

use crate::support::load::watcher;
use crate::support::{TestGateway, account, basic, plain, refused, settings};

/// A secret in a file, with the line break an editor leaves.
fn secret(folder: &TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{text}\n")).expect("a temporary file");
    file
}

/// The stand-in's OAuth client.
fn oauth_client(sandbox: &Sandbox, folder: &TempDir) -> OauthClient {
    let known = &sandbox.config().credential;
    OauthClient {
        client_id: known.client_id.clone(),
        client_secret_file: secret(folder, &known.client_secret),
        scope: "read write".to_owned(),
        token_lifetime: Duration::from_hours(1),
    }
}

/// A gateway that signs in as the settings say.
async fn signed(settings_of: impl FnOnce(&Sandbox) -> config::Credential) -> (TestGateway, Source) {
    signed_and_watched(&watcher(), settings_of).await
}

async fn signed_and_watched(
    watcher: &Watcher,
    settings_of: impl FnOnce(&Sandbox) -> config::Credential,
) -> (TestGateway, Source) {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    let source = Source::start(&settings_of(&sandbox), &plain(&sandbox.base_url()), watcher).await;
    let source = source.expect("a complete credential");
    (TestGateway::using(sandbox, settings(), source.clone()).await, source)
}

#[tokio::test]
async fn each_kind_of_credential_is_read_from_its_file_and_means_the_owner() {
    let kinds: [fn(&Sandbox, &TempDir) -> config::Credential; 4] = [
        |sandbox, folder| {
            let known = &sandbox.config().credential;
            config::Credential::ApiToken { email: known.email.clone(), token_file: secret(folder, &known.api_token) }
        },
        |sandbox, folder| {
            let known = &sandbox.config().credential;
            config::Credential::Password { email: known.email.clone(), password_file: secret(folder, &known.password) }
        },
        |sandbox, folder| {
            let known = &sandbox.config().credential;
            config::Credential::OauthToken { token_file: secret(folder, &known.oauth_token) }
        },
        |sandbox, folder| config::Credential::OauthClient(oauth_client(sandbox, folder)),
    ];
    for kind in kinds {
        let folder = TempDir::new().expect("a temporary folder");
        let (t, source) = signed(|sandbox| kind(sandbox, &folder)).await;
        let me = t.users().get_current_user(GetCurrentUserRequest::default()).await.expect("the owner").into_inner();
        let me = me.user.expect("a user");
        let known = t.sandbox.config().credential.clone();
        assert_eq!(me.email.as_ref(), Some(&known.email));
        let shown = format!("{:?}", source.view());
        for secret in [&known.api_token, &known.password, &known.oauth_token, &known.client_secret] {
            assert!(!shown.contains(secret.as_str()), "{shown}");
        }
        t.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_credential_of_the_gateway_is_no_fault_of_the_caller() {
    let t = TestGateway::signed(account(), settings(), |sandbox| {
        let email = &sandbox.config().credential.email;
        basic(&format!("{email}/token:wrong"))
    })
    .await;
    let refused = refused(t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
    assert!(!refused.message.contains("wrong"), "{}", refused.message);
}

#[tokio::test]
async fn a_password_that_zendesk_does_not_know_is_no_user_rather_than_an_empty_one() {
    let t = TestGateway::signed(account(), settings(), |sandbox| {
        let email = &sandbox.config().credential.email;
        basic(&format!("{email}:wrong"))
    })
    .await;
    let refused = refused(t.users().get_current_user(GetCurrentUserRequest::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
}

#[tokio::test]
async fn a_file_that_is_missing_empty_or_no_secret_is_named_by_its_setting() {
    let folder = TempDir::new().expect("a temporary folder");
    let url = "http://127.0.0.1:1".parse().expect("a URL");
    let refusal = async |token_file: PathBuf| {
        let started = Source::start(&config::Credential::OauthToken { token_file }, &plain(&url), &watcher()).await;
        started.err().expect("no secret").to_string()
    };
    let missing = refusal(folder.path().join("absent")).await;
    assert!(missing.starts_with("upstream.credential.token_file: ") && missing.contains("absent"), "{missing}");
    for (text, problem) in [("", " is empty"), ("one\ntwo", " holds a control character or more than one line")] {
        let refused = refusal(secret(&folder, text)).await;
        assert!(refused.contains("upstream.credential.token_file: ") && refused.ends_with(problem.trim()), "{refused}");
    }
}
