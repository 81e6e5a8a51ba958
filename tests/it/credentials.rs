//! The gateway's own credential: each kind from its file, and what callers and operators see of a wrong one.

use std::path::PathBuf;

use tempfile::TempDir;
use tonic::Code;
use zendesk_gateway::config;
use zendesk_gateway::proto::{GetCurrentUserRequest, GetUserRequest};
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::upstream::credential::Credential;

use crate::support::{TestGateway, account, basic, refused, settings};

/// A secret in a file, with the line break an editor leaves.
fn secret(folder: &TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{text}\n")).expect("a temporary file");
    file
}

async fn signed(credential: impl FnOnce(&Sandbox) -> Credential) -> TestGateway {
    TestGateway::signed(account(), settings(), credential).await
}

#[tokio::test]
async fn each_kind_of_credential_is_read_from_its_file_and_means_the_owner() {
    let kinds: [fn(&Sandbox, &TempDir) -> config::Credential; 3] = [
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
    ];
    for kind in kinds {
        let folder = TempDir::new().expect("a temporary folder");
        let t = signed(|sandbox| Credential::load(&kind(sandbox, &folder)).expect("a complete credential")).await;
        let me = t.users().get_current_user(GetCurrentUserRequest {}).await.expect("the owner").into_inner();
        let me = me.user.expect("a user");
        let email = t.sandbox.config().credential.email.clone();
        assert_eq!(me.email, Some(email));
    }
}

#[tokio::test]
async fn a_wrong_credential_of_the_gateway_is_no_fault_of_the_caller() {
    let t = signed(|sandbox| {
        let email = &sandbox.config().credential.email;
        basic(&format!("{email}/token:wrong"))
    })
    .await;
    let refused = refused(t.users().get_user(GetUserRequest { id: 7 }).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
    assert!(!refused.message.contains("wrong"), "{}", refused.message);
}

#[tokio::test]
async fn a_password_that_zendesk_does_not_know_is_no_user_rather_than_an_empty_one() {
    let t = signed(|sandbox| {
        let email = &sandbox.config().credential.email;
        basic(&format!("{email}:wrong"))
    })
    .await;
    let refused = refused(t.users().get_current_user(GetCurrentUserRequest {}).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
}

#[test]
fn a_file_that_is_missing_or_empty_is_named_by_its_setting() {
    let folder = TempDir::new().expect("a temporary folder");
    let token_file = folder.path().join("absent");
    let error = Credential::load(&config::Credential::OauthToken { token_file }).expect_err("no file");
    assert!(error.to_string().starts_with("upstream.credential.token_file: cannot read "), "{error}");
    let token_file = secret(&folder, "");
    let error = Credential::load(&config::Credential::OauthToken { token_file }).expect_err("no text");
    assert!(error.to_string().ends_with(" is empty"), "{error}");
}
