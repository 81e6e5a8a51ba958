//! A call, an error with details, an update with a mask, and a stream that is resumed.

use std::time::Duration;

use prost_types::{FieldMask, Struct, Value, value::Kind};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

mod proto {
    tonic::include_proto!("zendesk.gateway.v1");
}
use proto::user_service_client::UserServiceClient;
use proto::{ListUsersRequest, StreamUsersRequest, UpdateUserRequest, UserFilter, UserInput, UserRole};

/// A request with a deadline.
fn within<T>(seconds: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(seconds));
    request
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut users = UserServiceClient::connect("http://127.0.0.1:50051").await?;
    let page = users.list_users(within(10, ListUsersRequest { page_size: 2, ..Default::default() })).await?.into_inner();
    let user = &page.users[1];
    println!("call: {}", user.name());

    let wrong = ListUsersRequest { page_size: 101, ..Default::default() };
    if let Err(status) = users.list_users(within(10, wrong)).await {
        let reason = status.get_details_error_info().map(|info| info.reason);
        let field = status.get_details_bad_request().map(|bad| bad.field_violations[0].field.clone());
        println!("error: {:?} {} {}", status.code(), reason.unwrap_or_default(), field.unwrap_or_default());
    }

    // One custom field is set; the notes are cleared: the mask names them, and they are not set.
    let plan = Value { kind: Some(Kind::StringValue("gold".to_owned())) };
    let user_fields = Struct { fields: [("plan".to_owned(), plan)].into() };
    let update = UpdateUserRequest {
        id: user.id,
        user: Some(UserInput { user_fields: Some(user_fields), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["user_fields.plan".to_owned(), "notes".to_owned()] }),
    };
    let user = users.update_user(within(10, update)).await?.into_inner().user.unwrap_or_default();
    println!("update: {:?} {:?}", user.user_fields.as_ref().and_then(|fields| fields.fields.get("plan")), user.notes());

    let (mut rows, mut token, mut streams) = (Vec::new(), String::new(), 0);
    loop {
        streams += 1;
        match walk(&mut users, &mut rows, &mut token, streams == 1).await {
            Ok(()) => break println!("stream: {} agents, {streams} streams", rows.len()),
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                let asked = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
                tokio::time::sleep(asked.unwrap_or(Duration::from_millis(500))).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
    Ok(())
}

/// Goes on from the last token. Rows count once a token has come after them: what came after the last token comes again.
async fn walk(
    users: &mut UserServiceClient<tonic::transport::Channel>,
    rows: &mut Vec<proto::User>,
    token: &mut String,
    breaks: bool,
) -> Result<(), Status> {
    let agents = UserFilter { roles: vec![UserRole::Agent.into()], ..Default::default() };
    let request = StreamUsersRequest { filter: Some(agents), page_token: token.clone(), ..Default::default() };
    let mut stream = users.stream_users(within(60, request)).await?.into_inner();
    let (mut page, mut more) = (Vec::new(), false);
    while let Some(message) = stream.message().await? {
        page.extend(message.users);
        more = !message.next_page_token.is_empty();
        if more {
            rows.append(&mut page);
            *token = message.next_page_token;
            if breaks && rows.len() >= 500 {
                return Err(Status::unavailable("as if the connection were lost"));
            }
        }
    }
    rows.append(&mut page);
    if more { Err(Status::unavailable("the gateway is shutting down")) } else { Ok(()) }
}
