//! Pages that lie about what follows them.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Uri;
use http::header::HOST;
use http::response::Parts;
use serde_json::{Map, Value, json};
use url::Url;

use crate::faults::kinds::Fault;

const AFTER: &str = "page[after]";

/// Numbers the cursors that are invented, so that each is new.
static INVENTED: AtomicU64 = AtomicU64::new(0);

/// What the client asked for: the address of the page, as the client sees it.
pub(super) struct Asked(Url);

impl Asked {
    pub(super) fn by(request: &Request) -> Self {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let own = format!("http://{host}{}", request.uri());
        let url = Url::parse(&own)
            .unwrap_or_else(|_| Url::parse("http://localhost/").expect("a constant that is a valid URL"));
        Self(url)
    }

    fn parameter(&self, wanted: &str) -> Option<String> {
        self.0.query_pairs().find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
    }

    /// Returns the address with one parameter set, or without it.
    fn with(&self, wanted: &str, value: Option<&str>) -> Url {
        let others: Vec<(String, String)> = self
            .0
            .query_pairs()
            .filter(|(name, _)| name != wanted)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut url = self.0.clone();
        url.set_query(None);
        if !others.is_empty() || value.is_some() {
            url.query_pairs_mut().extend_pairs(others).extend_pairs(value.map(|value| (wanted, value)));
        }
        url
    }
}

/// Changes the request if the fault needs it: an empty page is made from the first page, because the client may send a cursor
/// that was invented here and that the handler does not know.
pub(super) fn prepare(fault: &Fault, mut request: Request) -> Request {
    if let Fault::EmptyPages(_) = fault {
        let first = Asked::by(&request).with(AFTER, None);
        let target = first.query().map_or_else(|| first.path().to_owned(), |query| format!("{}?{query}", first.path()));
        if let Ok(uri) = target.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Alters the page in `body`. Errors, and answers that are not pages, stay as they are.
pub(super) fn alter(fault: &Fault, asked: &Asked, parts: &Parts, body: Bytes) -> Bytes {
    if !parts.status.is_success() {
        return body;
    }
    let Ok(mut page) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return body;
    };
    match fault {
        Fault::MissingHasMore(_) => {
            if let Some(meta) = meta(&mut page) {
                meta.remove("has_more");
            }
        }
        Fault::LastPage(_) => {
            if let Some(meta) = meta(&mut page) {
                meta.insert("has_more".into(), false.into());
            }
            if let Some(next) = page.get_mut("next_page") {
                *next = Value::Null;
            }
        }
        Fault::CursorLoop(_) => {
            if let Some(cursor) = asked.parameter(AFTER) {
                claim_more(&mut page, asked, &cursor);
            }
            if let Some(next) = page.get_mut("next_page") {
                *next = asked.0.as_str().into();
            }
        }
        Fault::EmptyPages(_) => {
            page.values_mut().filter_map(Value::as_array_mut).for_each(Vec::clear);
            let number = INVENTED.fetch_add(1, Ordering::Relaxed);
            let cursor = STANDARD.encode(format!(r#"{{"o":"id","v":"empty {number}"}}"#));
            claim_more(&mut page, asked, &cursor);
            if let Some(next) = page.get_mut("next_page") {
                let number = asked.parameter("page").and_then(|page| page.parse().ok());
                let following = number.unwrap_or(1_u64).saturating_add(1).to_string();
                *next = asked.with("page", Some(&following)).as_str().into();
            }
        }
        Fault::OddRows(_) => page.values_mut().filter_map(Value::as_array_mut).for_each(|rows| make_odd(rows)),
        _ => return body,
    }
    serde_json::to_vec(&page).map_or(body, Bytes::from)
}

fn make_odd(rows: &mut [Value]) {
    for (tens, row) in rows.iter_mut().skip(5).step_by(10).enumerate() {
        match tens % 3 {
            0 => row["url"] = json!({"odd": true}),
            1 => row["url"] = json!([1]),
            _ => *row = "odd".into(),
        }
    }
}

fn meta(page: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    page.get_mut("meta").and_then(Value::as_object_mut)
}

/// Makes a cursor page claim that `cursor` leads on.
fn claim_more(page: &mut Map<String, Value>, asked: &Asked, cursor: &str) {
    let Some(meta) = meta(page) else { return };
    meta.insert("has_more".into(), true.into());
    meta.insert("after_cursor".into(), cursor.into());
    let next = asked.with(AFTER, Some(cursor));
    if let Some(links) = page.get_mut("links").and_then(Value::as_object_mut) {
        links.insert("next".into(), next.as_str().into());
    }
}
