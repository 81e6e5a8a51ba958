//! Says in an error where a redirect leads. The gateway follows none.

use http::HeaderMap;

use crate::error::snippet;

/// Returns where a redirect leads, in words: its host, but not its path, which could hold secrets.
pub fn redirection(headers: &HeaderMap) -> String {
    // The base of a `Location` without a host. No real host has this name.
    const SAME: &str = "https://same.invalid/";
    let location = headers.get(http::header::LOCATION).and_then(|value| value.to_str().ok());
    let Some(location) = location else { return "to an address that is not given".to_owned() };
    let url = url::Url::parse(SAME).and_then(|same| same.join(location));
    match url.as_ref().map(url::Url::host_str) {
        Ok(Some("same.invalid")) => "to another path of the same host".to_owned(),
        Ok(host) => format!("to the host {}", snippet(host.unwrap_or("of no name"))),
        Err(_) => "to an address that cannot be read".to_owned(),
    }
}
