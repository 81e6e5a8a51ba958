//! A call, an error with details, an update with a mask, and a stream that is resumed.
use prost_types::{FieldMask, Struct, Value, value::Kind};
use std::time::Duration;
use tonic::{Code, Request, transport::Channel};
use tonic_types::StatusExt as _;
tonic::include_proto!("zendesk.gateway.v1");
type Users = user_service_client::UserServiceClient<Channel>;
fn within<T>(seconds: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(seconds));
    request
}
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut users = Users::connect("http://127.0.0.1:50051").await?;
    let page = users.list_users(within(10, ListUsersRequest { page_size: 2, ..Default::default() })).await?.into_inner();
    println!("call: {}", page.users[1].name());
    if let Err(status) = users.list_users(within(10, ListUsersRequest { page_size: 101, ..Default::default() })).await {
        let (info, bad) = (status.get_details_error_info().unwrap(), status.get_details_bad_request().unwrap());
        println!("error: {:?} {} {}", status.code(), info.reason, bad.field_violations[0].field);
    }
    // One custom field is set; the notes are cleared: the mask names them, and they are not set.
    let plan = Value { kind: Some(Kind::StringValue("gold".to_owned())) };
    let mask = FieldMask { paths: vec!["user_fields.plan".to_owned(), "notes".to_owned()] };
    let input = UserInput { user_fields: Some(Struct { fields: [("plan".to_owned(), plan)].into() }), ..Default::default() };
    let update = UpdateUserRequest { id: page.users[1].id, user: Some(input), update_mask: Some(mask), ..Default::default() };
    let user = users.update_user(within(10, update)).await?.into_inner().user.unwrap_or_default();
    println!("update: {:?} {:?}", user.user_fields.as_ref().and_then(|fields| fields.fields.get("plan")), user.notes());
    let (mut rows, mut token, mut more) = (Vec::new(), String::new(), true);
    while more {
        more = match walk(&mut users, &mut rows, &mut token).await {
            // tonic says UNKNOWN of a connection that was lost, and CANCELLED of a deadline.
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled) => {
                let wait = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
                tokio::time::sleep(wait.unwrap_or(Duration::from_millis(500))).await;
                true
            }
            ended => ended?,
        };
    }
    println!("stream: {} agents", rows.len());
    Ok(())
}
/// Goes on from the last token, and returns whether there is more. Rows count once a token has come after them.
async fn walk(users: &mut Users, rows: &mut Vec<User>, token: &mut String) -> Result<bool, tonic::Status> {
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
        }
    }
    rows.append(&mut page); // with `more` still set, the gateway is shutting down
    Ok(more)
}
