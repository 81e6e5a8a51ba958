//! Client certificates, shown to the real port.

use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use zendesk_gateway::config::ClientAuth;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{UpdateUserRequest, UserInput};

use super::*;
use crate::support::authority::Authority;

const API: &str = "spiffe://prod.example/ns/billing/sa/api";

/// A gateway that knows its callers by the certificates that `callers` signs, and lets some of them read.
async fn knowing(server: &Authority, callers: &Authority, auth: ClientAuth, folder: &TempDir) -> TestGateway {
    let mut config = readers(&[Method::Certificate]);
    config.authorization.rules[0].callers =
        vec!["spiffe://prod.example/ns/billing/*".to_owned(), "certificate:web".to_owned()];
    config.server.tls = server.sign().write(folder.path());
    config.server.tls.client_ca_file = Some(file(folder, "ca.crt", &callers.pem()));
    config.server.tls.client_auth = Some(auth);
    started(config).await
}

/// A client over a connection of its own.
fn over(t: &TestGateway, tls: ClientTlsConfig) -> UserServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("https://{}", t.address)).expect("a URI");
    UserServiceClient::new(endpoint.tls_config(tls).expect("settings").connect_lazy())
}

fn change(id: i64) -> UpdateUserRequest {
    let user = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    UpdateUserRequest { id, user: Some(user), update_mask: None, ..Default::default() }
}

#[tokio::test]
async fn a_certificate_names_its_caller_who_may_do_what_its_rule_allows() {
    let (server, callers, folder) = (Authority::new(), Authority::new(), TempDir::new().expect("a folder"));
    let t = knowing(&server, &callers, ClientAuth::Required, &folder).await;
    let id = t.sandbox.store().user_ids()[0];
    for (name, uris) in [(None, &[API][..]), (Some("stranger"), &[API]), (Some("web"), &["https://a.example/"])] {
        let mut users = over(&t, server.trusted().identity(callers.sign_caller(name, uris).identity()));
        for _ in 0..2 {
            users.get_user(GetUserRequest { id, ..Default::default() }).await.expect("its rule allows reads");
        }
        let hits = t.sandbox.total_hits();
        let outcome = refused(users.update_user(change(id)).await);
        assert_eq!((outcome.code, outcome.reason.as_str()), (Code::PermissionDenied, "CALLER_FORBIDDEN"), "{name:?}");
        let caller = if uris == [API] { API } else { "certificate:web" };
        assert!(outcome.message.contains(&format!("no rule allows {caller} a call")), "{}", outcome.message);
        assert_eq!(t.sandbox.total_hits(), hits, "{name:?}");
    }
    let hits = t.sandbox.total_hits();
    for (name, uris, code, what) in [
        (Some("stranger"), &[][..], Code::PermissionDenied, "no rule allows certificate:stranger"),
        (Some(API), &[], Code::PermissionDenied, "no rule allows certificate:spiffe"),
        (Some("web"), &["spiffe://other.example/web"], Code::PermissionDenied, "no rule allows spiffe://other"),
        (Some("*"), &[], Code::Unauthenticated, "names no caller"),
        (None, &[], Code::Unauthenticated, "names no caller"),
        (None, &[API, "spiffe://prod.example/other"], Code::Unauthenticated, "more than one caller"),
    ] {
        let mut users = over(&t, server.trusted().identity(callers.sign_caller(name, uris).identity()));
        let outcome = refused(users.get_user(GetUserRequest { id, ..Default::default() }).await);
        assert_eq!(outcome.code, code, "{name:?} {uris:?}: {}", outcome.message);
        assert!(outcome.message.contains(what), "{name:?} {uris:?}: {}", outcome.message);
    }
    assert_eq!(t.sandbox.total_hits(), hits, "nothing may reach the upstream");
    t.stop().await;
}

#[tokio::test]
async fn without_a_certificate_or_with_one_of_another_authority_nobody_is_let_in() {
    let (server, callers, folder) = (Authority::new(), Authority::new(), TempDir::new().expect("a folder"));
    let forged = server.trusted().identity(Authority::new().sign_caller(Some("web"), &[API]).identity());
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let t = knowing(&server, &callers, auth, &folder).await;
        let id = t.sandbox.store().user_ids()[0];
        let ask = async |tls: ClientTlsConfig| {
            refused(over(&t, tls).get_user(GetUserRequest { id, ..Default::default() }).await)
        };
        let foreign = ask(forged.clone()).await;
        assert_eq!(foreign.reason, "", "the connection is refused before anything is asked: {}", foreign.message);
        let nobody = ask(server.trusted()).await;
        if auth == ClientAuth::Optional {
            assert_eq!((nobody.code, nobody.reason.as_str()), (Code::Unauthenticated, "CALLER_UNAUTHENTICATED"));
            assert!(nobody.message.contains("nothing was sent"), "{}", nobody.message);
        } else {
            assert_eq!(nobody.reason, "", "the connection is refused before anything is asked: {}", nobody.message);
        }
        assert_eq!(t.sandbox.total_hits(), 0, "{auth:?}");
        let known = server.trusted().identity(callers.sign_caller(None, &[API]).identity());
        over(&t, known).get_user(GetUserRequest { id, ..Default::default() }).await.expect("a known caller is let in");
        t.stop().await;
    }
}
