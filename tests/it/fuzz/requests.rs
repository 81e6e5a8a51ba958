//! Requests of callers, said in REST.

use url::Url;
use zendesk_gateway::error::Error;
use zendesk_gateway::path;
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::rest::{List, Read, Write};
use zendesk_gateway::upstream::rest::{Body, Rest, text_id};

/// A path that was built stays where it belongs, and its query is what was put in.
pub fn within(rest: &Rest) {
    let base = Url::parse("https://account.zendesk.com").expect("a URL");
    let joined = base.join(&rest.target()).expect("a target is a valid reference");
    // As the transport does it.
    let mut url = base.clone();
    url.set_path(&rest.path);
    url.set_query(Some(rest.query.as_str()).filter(|query| !query.is_empty()));
    assert_eq!(url, joined, "both ways lead to the same place");
    assert_eq!((url.host_str(), url.path()), (base.host_str(), rest.path.as_str()), "nothing was resolved or encoded");
    assert_eq!(url.query().unwrap_or_default(), rest.query);
    assert!(rest.path.starts_with("/api/v2/") && !rest.path.contains("//") && url.fragment().is_none());
    assert!(rest.path.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(rest.target().bytes().all(|byte| byte.is_ascii_graphic()));
    if let Body::File { file_name, .. } = &rest.body {
        assert!(!file_name.contains(|char: char| char.is_control() || "/\\\"".contains(char)), "{file_name:?}");
    }
}

/// Text in segments and queries.
pub fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(segment) = text_id("id", &text) {
        let rest = Rest::get(path!["job_statuses", segment]);
        within(&rest);
        let sent = rest.path.strip_prefix("/api/v2/job_statuses/").expect("under its path");
        assert!(
            !sent.contains('/') && sent.bytes().any(|byte| byte != b'.'),
            "{sent} is one segment, and not a step up"
        );
        assert_eq!(percent_encoding::percent_decode_str(sent).decode_utf8_lossy(), text);
    }
    let rest = Rest::get(path!["users"]).query("query", &text).query(&text, "value");
    within(&rest);
    let pairs: Vec<_> = url::form_urlencoded::parse(rest.query.as_bytes()).collect();
    assert_eq!(pairs, [("query".into(), text.clone()), (text.clone(), "value".into())]);
}

/// Requests as they come over the wire, said in REST.
pub fn request(data: &[u8]) {
    fn read<R: Read>(data: &[u8]) {
        said(R::decode(data).ok().map(|request| request.rest()));
    }
    fn list<R: List>(data: &[u8]) {
        said(R::decode(data).ok().map(|request| request.rest()));
    }
    fn write<W: Write>(data: &[u8]) {
        said(W::decode(data).ok().map(|request| request.rest()));
    }
    fn said(rest: Option<Result<Rest, Error>>) {
        match rest {
            Some(Ok(rest)) => within(&rest),
            Some(Err(error)) => assert!(matches!(error, Error::Invalid { .. }), "{error:?}"),
            None => {}
        }
    }
    macro_rules! each {
        ($say:ident: $($request:ident)+) => { $($say::<zendesk_gateway::proto::$request>(data);)+ };
    }
    macro_rules! reads {
        ($($request:ident)+) => { each!(read: $($request)+) };
    }
    macro_rules! lists {
        ($($request:ident)+) => { each!(list: $($request)+) };
    }
    macro_rules! writes {
        ($($request:ident)+) => { each!(write: $($request)+) };
    }
    zendesk_gateway::contract_types!(reads, reads);
    zendesk_gateway::contract_types!(lists, lists);
    zendesk_gateway::contract_types!(writes, writes);
    read::<GetUserRequest>(data);
}
