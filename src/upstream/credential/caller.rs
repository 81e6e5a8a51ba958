//! What callers send about authority at Zendesk: their own credential, and the user they act for.
//!
//! Both become headers of a request to Zendesk, so every character of both is checked here.

use std::sync::Arc;

use http::HeaderValue;

use super::token::Token;
use super::{Credential, Origin, fingerprint};
use crate::error::{Error, Result};

/// Metadata with the caller's own credential. `authorization` is how callers sign in at the gateway.
pub const AUTHORIZATION: &str = "x-zendesk-authorization";
/// Metadata with the user a call is made for.
pub const ON_BEHALF_OF: &str = "x-on-behalf-of";

/// Far above any token; two of them fit into what HTTP/2 peers accept as headers.
const MAX_BYTES: usize = 4096;
/// The longest e-mail address that mail can be sent to.
const LONGEST_USER: usize = 254;

/// Reads `x-zendesk-authorization`: what would be the `authorization` header of a request to Zendesk.
///
/// # Errors
/// [`Error::Invalid`], which never quotes the value.
pub fn passed_through(value: &[u8]) -> Result<Credential> {
    let refuse = |problem| Error::invalid(AUTHORIZATION, problem);
    if value.len() > MAX_BYTES {
        return Err(refuse("must be at most 4096 characters"));
    }
    let form = || refuse("must be 'Basic' or 'Bearer', one space and the credential");
    let text = std::str::from_utf8(value).map_err(|_| form())?;
    let (scheme, credential) = text.split_once(' ').ok_or_else(form)?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("basic") => "Basic",
        _ if scheme.eq_ignore_ascii_case("bearer") => "Bearer",
        _ => return Err(form()),
    };
    // RFC 9110's token68, which both schemes use.
    let body = credential.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(allowed) {
        return Err(refuse("has a credential with characters that none has"));
    }
    let token = Token::new(&format!("{scheme} {credential}")).map_err(|_| form())?;
    let fingerprint = token.fingerprint;
    Ok(Credential { token: Some(Arc::new(token)), own: false, fingerprint, on_behalf_of: None, origin: Origin::Fixed })
}

/// Reads `x-on-behalf-of`: a user's id or e-mail address.
///
/// # Errors
/// [`Error::Invalid`], which never quotes the value.
pub fn impersonated(value: &[u8]) -> Result<HeaderValue> {
    let refuse = || Error::invalid(ON_BEHALF_OF, "must be a user's id or e-mail address");
    let text = std::str::from_utf8(value).map_err(|_| refuse())?;
    let is_id = text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_ok_and(|id| id > 0);
    let is_email = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && text.matches('@').count() == 1
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte));
    if text.len() > LONGEST_USER || !(is_id || is_email) {
        return Err(refuse());
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| refuse())?;
    value.set_sensitive(true);
    Ok(value)
}

impl Credential {
    /// Returns this credential acting on behalf of a user.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no OAuth token: Zendesk ignores `X-On-Behalf-Of` with any other, and would carry the call
    /// out for the wrong user.
    pub(super) fn for_user(mut self, user: HeaderValue) -> Result<Self> {
        if !self.is_bearer() {
            return Err(Error::invalid(ON_BEHALF_OF, "goes with OAuth credentials only"));
        }
        self.fingerprint = fingerprint::of(&[b"for", &self.fingerprint.to_be_bytes(), user.as_bytes()]);
        self.on_behalf_of = Some(user);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, String> {
        match passed_through(value.as_bytes()) {
            Ok(credential) => Ok(credential.header().expect("one").to_str().expect("ASCII").to_owned()),
            Err(Error::Invalid { field, problem, .. }) if field == AUTHORIZATION => Err(problem),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn both_schemes_are_read_in_any_case_and_sent_in_one() {
        assert_eq!(read("Bearer abc.DEF-1_~+/=="), Ok("Bearer abc.DEF-1_~+/==".to_owned()));
        assert_eq!(read("bAsIc YTpi"), Ok("Basic YTpi".to_owned()));
        let same = |value: &str| passed_through(value.as_bytes()).expect("a credential").fingerprint();
        assert_eq!(same("bearer abc"), same("Bearer abc"));
        assert_ne!(same("Bearer abc"), same("Bearer abd"));
        assert_ne!(same("Basic abc"), same("Bearer abc"));
        assert!(!passed_through(b"Bearer abc").expect("a credential").is_own());
    }

    #[test]
    fn anything_else_is_refused_and_never_quoted() {
        let long = format!("Bearer {}", "a".repeat(MAX_BYTES));
        for text in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer  x",
            "Digest abc",
            "abc",
            "Bearer =",
            "Bearer a b",
            "Bearer a=b",
            "Bearer a\r\nx-evil: 1",
            "Bearer a\0",
            "Bearer ü",
            "Basic a:b",
            "Bearer a,b",
            "Bearer a\u{202e}",
            &long,
        ] {
            let problem = read(text).expect_err(text);
            assert!(text.len() < 8 || !problem.contains(&text[7..]), "{problem}");
        }
        assert!(passed_through(b"Bearer \xff\xfe").is_err());
    }

    #[test]
    fn a_user_is_an_id_or_an_address() {
        for text in ["7", "9223372036854775807", "a@b", "first.last+tag@sub.example.com", "o'neil@example.com"] {
            assert_eq!(impersonated(text.as_bytes()).expect(text), text);
        }
        let long = format!("{}@example.com", "a".repeat(LONGEST_USER));
        for text in [
            "",
            "0",
            "-1",
            "+7",
            "9223372036854775808",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b\r\nx: y",
            "a@b,c@d",
            "<a@b>",
            "\"a\"@b",
            "ü@example.com",
            "7 ",
            &long,
        ] {
            let refused = impersonated(text.as_bytes()).expect_err(text);
            assert!(matches!(refused, Error::Invalid { field, .. } if field == ON_BEHALF_OF), "{text}");
        }
    }

    #[test]
    fn acting_for_somebody_is_another_user_and_takes_an_oauth_token() {
        let user = |text: &str| impersonated(text.as_bytes()).expect("a user");
        let token = Credential::new("Bearer x", true).expect("a header");
        let (one, two) = (token.clone().for_user(user("7")), token.clone().for_user(user("8")));
        let (one, two) = (one.expect("a bearer"), two.expect("a bearer"));
        assert!(one.fingerprint() != two.fingerprint() && one.fingerprint() != token.fingerprint());
        assert!(token.is_own() && !one.is_own(), "whom the caller names is the caller's to answer for");
        let basic = Credential::new("Basic x", true).expect("a header");
        assert!(basic.for_user(user("7")).is_err());
    }
}
