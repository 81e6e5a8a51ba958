//! `[upstream.credential]`: how the gateway signs in at Zendesk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::files;

/// The lifetimes that Zendesk grants to access tokens; both ends are excluded.
const LIFETIMES: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(48));

/// Most bytes of a file that are looked at; no secret has as many.
const MOST_BYTES: u64 = 64 << 10;

/// `[upstream.credential]`, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialKeys {
    /// `upstream.credential.kind`: `api_token`, `password`, `oauth_token`, `oauth_client`, or `pass_through` for each caller's
    /// own, sent as the metadata `x-zendesk-authorization`.
    pub kind: Option<CredentialKind>,
    /// `upstream.credential.email`: the agent's address, for `api_token` and `password`.
    pub email: Option<String>,
    /// `upstream.credential.token_file`: file with the API token or the OAuth access token. Read again when it changes.
    pub token_file: Option<PathBuf>,
    /// `upstream.credential.password_file`: file with the password. Read again when it changes.
    pub password_file: Option<PathBuf>,
    /// `upstream.credential.client_id`: the OAuth client's unique identifier, for `oauth_client`.
    pub client_id: Option<String>,
    /// `upstream.credential.client_secret_file`: file with the OAuth client's secret. Read again when it changes.
    pub client_secret_file: Option<PathBuf>,
    /// `upstream.credential.scope`: what `oauth_client` asks to be allowed, with spaces between; callers who impersonate need
    /// `impersonate`, too. Default `read write`.
    pub scope: Option<String>,
    /// `upstream.credential.token_lifetime`: how long the access tokens of `oauth_client` are to last; they are renewed before.
    /// More than 5 minutes, less than 48 hours. Default `1h`.
    #[serde(with = "super::span")]
    pub token_lifetime: Option<Duration>,
}

/// How the gateway signs in at Zendesk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Basic authentication with `email/token` and an API token. Zendesk ends API tokens on 2027-04-30.
    ApiToken,
    /// Basic authentication with e-mail and password.
    Password,
    /// An OAuth access token.
    OauthToken,
    /// OAuth access tokens that the gateway gets for itself, by the client credentials grant.
    OauthClient,
    /// Each caller's own.
    PassThrough,
}

impl CredentialKind {
    /// Returns its word in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api_token",
            Self::Password => "password",
            Self::OauthToken => "oauth_token",
            Self::OauthClient => "oauth_client",
            Self::PassThrough => "pass_through",
        }
    }
}

/// A complete credential setting.
#[derive(Debug, Clone)]
pub enum Credential {
    /// An API token.
    ApiToken {
        /// The agent's address.
        email: String,
        /// File with the token.
        token_file: PathBuf,
    },
    /// A password.
    Password {
        /// The agent's address.
        email: String,
        /// File with the password.
        password_file: PathBuf,
    },
    /// An OAuth access token.
    OauthToken {
        /// File with the token.
        token_file: PathBuf,
    },
    /// An OAuth client.
    OauthClient(OauthClient),
    /// Each caller's own.
    PassThrough,
}

/// An OAuth client that gets access tokens for itself.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// Its unique identifier.
    pub client_id: String,
    /// File with its secret.
    pub client_secret_file: PathBuf,
    /// What it asks to be allowed.
    pub scope: String,
    /// How long a token is to last.
    pub token_lifetime: Duration,
}

impl CredentialKeys {
    /// Returns the complete setting, or each key that is missing, misplaced or wrong.
    pub fn complete(&self) -> Result<Credential, Vec<String>> {
        use CredentialKind::{ApiToken, OauthClient, OauthToken, PassThrough, Password};
        let Some(kind) = self.kind else {
            let kinds =
                [ApiToken, Password, OauthToken, OauthClient, PassThrough].map(CredentialKind::as_str).join(", ");
            return Err(vec![format!("upstream.credential.kind: not set; one of {kinds}")]);
        };
        // Which kinds use a key, and whether they need it.
        let uses: [(&str, bool, &[CredentialKind], bool); 7] = [
            ("email", self.email.is_some(), &[ApiToken, Password], true),
            ("token_file", self.token_file.is_some(), &[ApiToken, OauthToken], true),
            ("password_file", self.password_file.is_some(), &[Password], true),
            ("client_id", self.client_id.is_some(), &[OauthClient], true),
            ("client_secret_file", self.client_secret_file.is_some(), &[OauthClient], true),
            ("scope", self.scope.is_some(), &[OauthClient], false),
            ("token_lifetime", self.token_lifetime.is_some(), &[OauthClient], false),
        ];
        let mut mistakes = Vec::new();
        for (key, set, kinds, needed) in uses {
            match (set, kinds.contains(&kind)) {
                (false, true) if needed => {
                    mistakes.push(format!("upstream.credential.{key}: not set, and {} needs it", kind.as_str()));
                }
                (true, false) => {
                    mistakes.push(format!("upstream.credential.{key}: set, but {} does not use it", kind.as_str()));
                }
                _ => {}
            }
        }
        mistakes.extend(self.wrong());
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let email = self.email.clone().unwrap_or_default();
        let file = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        Ok(match kind {
            ApiToken => Credential::ApiToken { email, token_file: file(&self.token_file) },
            Password => Credential::Password { email, password_file: file(&self.password_file) },
            OauthToken => Credential::OauthToken { token_file: file(&self.token_file) },
            OauthClient => Credential::OauthClient(self::OauthClient {
                client_id: self.client_id.clone().unwrap_or_default(),
                client_secret_file: file(&self.client_secret_file),
                scope: self.scope.clone().unwrap_or_else(|| "read write".to_owned()),
                token_lifetime: self.token_lifetime.unwrap_or(Duration::from_hours(1)),
            }),
            PassThrough => Credential::PassThrough,
        })
    }

    /// Values that are wrong whatever the kind.
    fn wrong(&self) -> impl Iterator<Item = String> {
        let plain = |text: &String| !text.is_empty() && !text.contains(|char: char| char.is_control() || char == ' ');
        let (shortest, longest) = LIFETIMES;
        let wrong = [
            // Basic authentication ends the name at the first colon.
            (
                "email",
                self.email.as_ref().is_some_and(|email| {
                    !plain(email) || !email.contains('@') || email.contains(':') || email.starts_with(['\'', '"'])
                }),
                "must be an e-mail address",
            ),
            (
                "email",
                self.email.as_ref().is_some_and(|email| email.to_ascii_lowercase().ends_with("/token")),
                "must be the address alone: the gateway adds /token itself",
            ),
            (
                "client_id",
                self.client_id.as_ref().is_some_and(|id| !plain(id)),
                "must be the client's identifier, without spaces",
            ),
            (
                "scope",
                self.scope.as_ref().is_some_and(|scope| scope.split(' ').any(|word| !plain(&word.to_owned()))),
                "must be words with one space between",
            ),
            (
                "token_lifetime",
                self.token_lifetime.is_some_and(|time| time <= shortest || time >= longest),
                "must be more than 5 minutes and less than 48 hours",
            ),
        ];
        wrong
            .into_iter()
            .filter(|(_, wrong, _)| *wrong)
            .map(|(key, _, problem)| format!("upstream.credential.{key}: {problem}"))
    }
}

impl Credential {
    /// Returns its kind.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::ApiToken { .. } => CredentialKind::ApiToken,
            Self::Password { .. } => CredentialKind::Password,
            Self::OauthToken { .. } => CredentialKind::OauthToken,
            Self::OauthClient(_) => CredentialKind::OauthClient,
            Self::PassThrough => CredentialKind::PassThrough,
        }
    }

    /// Returns the file with the secret, and its full key.
    pub fn file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Self::ApiToken { token_file, .. } | Self::OauthToken { token_file } => {
                Some(("upstream.credential.token_file", token_file))
            }
            Self::Password { password_file, .. } => Some(("upstream.credential.password_file", password_file)),
            Self::OauthClient(client) => Some(("upstream.credential.client_secret_file", &client.client_secret_file)),
            Self::PassThrough => None,
        }
    }

    /// Takes the secret out of the file's content: its text without the line break that editors add. Tokens hold nothing that a
    /// password might.
    ///
    /// # Errors
    /// What is wrong with the content, as the end of a sentence that begins with the file.
    pub fn secret(&self, content: &[u8]) -> Result<SecretString, &'static str> {
        let secret = secret(content)?;
        if matches!(self, Self::Password { .. }) {
            return Ok(secret);
        }
        let text = secret.expose_secret();
        let begins = |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        match text {
            _ if text.starts_with(['"', '\'', '`', '“', '”', '„', '‘', '’', '‚', '«', '»', '‹', '›']) => {
                Err("is in quotation marks: write the secret alone")
            }
            _ if text.starts_with('{') => Err("is JSON: write the secret alone"),
            _ if is_assignment(text) => Err("is an assignment, NAME=secret: write the secret alone"),
            _ if begins("Bearer ") || begins("Basic ") => {
                Err("begins with the word of the authorization header, which the gateway adds: write the secret alone")
            }
            _ if text.to_ascii_lowercase().contains("/token:") => {
                Err("holds the e-mail address, too: write the token alone")
            }
            _ if text.contains(' ') => Err("holds a space, which no token has"),
            _ if !text.is_ascii() => Err("holds a character outside ASCII, which no token has"),
            _ => Ok(secret),
        }
    }

    /// Returns why the file cannot be used.
    pub(super) fn unusable(&self) -> Option<String> {
        let (key, path) = self.file()?;
        match files::read(path, MOST_BYTES) {
            Err(error) => Some(format!("{key}: cannot read {}: {error}", path.display())),
            Ok(text) => self.secret(&text).err().map(|problem| format!("{key}: {} {problem}", path.display())),
        }
    }
}

/// True if a text is a variable's name in capital letters and its value. Padding at a token's end is none.
fn is_assignment(text: &str) -> bool {
    let is_name = |name: &str| name.len() > 1 && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase());
    text.split_once('=').is_some_and(|(name, value)| is_name(name) && !value.trim_matches('=').is_empty())
}

/// Takes the secret out of a file's content: its text without the line break that editors add.
///
/// # Errors
/// What is wrong with the content, as the end of a sentence that begins with the file.
fn secret(content: &[u8]) -> Result<SecretString, &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "is not UTF-8 text")?;
    if text.starts_with('\u{feff}') {
        return Err("begins with a byte order mark: save it as UTF-8 without one");
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("is empty");
    }
    if secret.contains(char::is_control) {
        return Err("holds a control character or more than one line");
    }
    Ok(SecretString::from(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(keys: &CredentialKeys) -> Vec<String> {
        let mistakes = keys.complete().err().unwrap_or_default();
        let named = mistakes.iter().map(|mistake| mistake.strip_prefix("upstream.credential.").expect("a full key"));
        named.map(|mistake| mistake.split_once(": ").expect("a key and a problem").0.to_owned()).collect()
    }

    #[test]
    fn each_kind_names_what_it_lacks_and_what_it_has_no_use_for() {
        use CredentialKind::{ApiToken, OauthClient, OauthToken, PassThrough, Password};
        let of = |kind| CredentialKeys { kind: Some(kind), ..CredentialKeys::default() };
        assert_eq!(mistakes(&CredentialKeys::default()), ["kind"]);
        assert_eq!(mistakes(&of(ApiToken)), ["email", "token_file"]);
        assert_eq!(mistakes(&of(Password)), ["email", "password_file"]);
        assert_eq!(mistakes(&of(OauthToken)), ["token_file"]);
        assert_eq!(mistakes(&of(OauthClient)), ["client_id", "client_secret_file"]);
        assert!(mistakes(&of(PassThrough)).is_empty());
        let all = |kind| CredentialKeys {
            kind: Some(kind),
            email: Some("a@b.example".to_owned()),
            token_file: Some("/t".into()),
            password_file: Some("/p".into()),
            client_id: Some("c".to_owned()),
            client_secret_file: Some("/s".into()),
            scope: Some("read".to_owned()),
            token_lifetime: Some(Duration::from_hours(2)),
        };
        assert_eq!(
            mistakes(&all(PassThrough)),
            ["email", "token_file", "password_file", "client_id", "client_secret_file", "scope", "token_lifetime"]
        );
        assert_eq!(mistakes(&all(OauthClient)), ["email", "token_file", "password_file"]);
    }

    #[test]
    fn values_that_no_kind_could_use_are_refused() {
        let client = CredentialKeys {
            kind: Some(CredentialKind::OauthClient),
            client_id: Some("c".to_owned()),
            client_secret_file: Some("/s".into()),
            ..CredentialKeys::default()
        };
        let Ok(Credential::OauthClient(complete)) = client.complete() else { panic!("it is complete") };
        assert_eq!((complete.scope.as_str(), complete.token_lifetime), ("read write", Duration::from_hours(1)));
        for scope in ["", " read", "read  write", "read\n"] {
            assert_eq!(mistakes(&CredentialKeys { scope: Some(scope.to_owned()), ..client.clone() }), ["scope"]);
        }
        for minutes in [0, 5, 48 * 60] {
            let keys = CredentialKeys { token_lifetime: Some(Duration::from_mins(minutes)), ..client.clone() };
            assert_eq!(mistakes(&keys), ["token_lifetime"]);
        }
        let token = CredentialKeys {
            kind: Some(CredentialKind::ApiToken),
            token_file: Some("/t".into()),
            ..CredentialKeys::default()
        };
        for email in ["", "a", "a:b@c", "a b@c", "a@b\n", "a@b.c/token", "A@B.C/TOKEN"] {
            assert_eq!(mistakes(&CredentialKeys { email: Some(email.to_owned()), ..token.clone() }), ["email"]);
        }
    }

    #[test]
    fn a_secret_is_one_line_without_its_break() {
        for text in ["s", "s\n", "s\r\n", "s\n\n"] {
            assert_eq!(secret(text.as_bytes()).expect("a secret").expose_secret(), "s");
        }
        for content in [&b""[..], b"\n", b"a\nb", b"a\0b", b"\xff", b"\ta", b"\xef\xbb\xbfa"] {
            assert!(secret(content).is_err(), "{content:?}");
        }
        let token = Credential::OauthToken { token_file: "/t".into() };
        let password = Credential::Password { email: "a@b.example".to_owned(), password_file: "/p".into() };
        for odd in [
            r#""s""#,
            "'s'",
            "`s`",
            "“s”",
            "„s“",
            "‘s’",
            "«s»",
            "Bearer s",
            "bearer s",
            "Basic s",
            "a@b.example/token:s",
            "A@B.EXAMPLE/TOKEN:s",
            "s t",
            "s\u{a0}t",
            "tökén",
            r#"{"token":"s"}"#,
            "TOKEN=s",
            "ZENDESK_API_TOKEN=s",
        ] {
            assert!(token.secret(odd.as_bytes()).is_err(), "{odd}");
            assert!(password.secret(odd.as_bytes()).is_ok(), "a password may be {odd}");
        }
    }
}
