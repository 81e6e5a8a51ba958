//! Settings of who may call and do what: `[identity]` says how callers prove who they are, `[authorization]` what each
//! may do.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::{Server, glob};
use crate::contract::{RPCS, Risk, Rpc};
use crate::files;

/// `[identity]`: how callers prove who they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// `identity.methods`: `["none"]`, or any of `certificate`, `jwt` and `api_key`. Unset is `none` on a loopback address and
    /// refused on any other.
    #[serde(deserialize_with = "list")]
    pub methods: Vec<Method>,
    /// `[identity.jwt]`: bearer tokens.
    pub jwt: Jwt,
    /// `[identity.api_keys]`: keys in the metadata `x-api-key`.
    pub api_keys: ApiKeys,
}

/// One way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Nobody proves anything: everybody is the caller `anonymous`.
    None,
    /// The verified client certificate of the connection.
    Certificate,
    /// A signed token in the metadata `authorization`.
    Jwt,
    /// A key in the metadata `x-api-key`.
    ApiKey,
}

/// `[identity.jwt]`: bearer tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    /// `identity.jwt.issuer`: what a token's `iss` must be.
    pub issuer: Option<String>,
    /// `identity.jwt.audience`: what a token's `aud` must contain.
    pub audience: Option<String>,
    /// `identity.jwt.jwks_file`: file with the issuer's public keys as a JWKS, read again when it changes. This or
    /// `identity.jwt.jwks_url`.
    pub jwks_file: Option<PathBuf>,
    /// `identity.jwt.jwks_url`: where the issuer publishes them. HTTPS unless the host is loopback.
    pub jwks_url: Option<Url>,
    /// `identity.jwt.refresh`: time between two reads of `identity.jwt.jwks_url`; an unknown key causes an earlier one. Default
    /// `5m`.
    #[serde(with = "super::span")]
    pub refresh: Duration,
    /// `identity.jwt.leeway`: how far the issuer's clock may be off, for `exp` and `nbf`. Default `30s`.
    #[serde(with = "super::span")]
    pub leeway: Duration,
    /// `identity.jwt.algorithms`: signature algorithms that are accepted: of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`,
    /// `ES256`, `ES384` and `EdDSA`. Default `["RS256", "ES256"]`.
    #[serde(deserialize_with = "list")]
    pub algorithms: Vec<Algorithm>,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_file: None,
            jwks_url: None,
            refresh: Duration::from_mins(5),
            leeway: Duration::from_secs(30),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        }
    }
}

/// A signature algorithm with a private and a public key. What is missing here cannot be configured: with a shared secret,
/// whoever can verify can sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the registered ones of RFC 7518 and RFC 8037")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// `[identity.api_keys]`: keys in the metadata `x-api-key`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeys {
    /// `identity.api_keys.file`: file with one caller per line: its name, and the SHA-256 of its key in hexadecimal. Read again
    /// when it changes.
    pub file: Option<PathBuf>,
}

/// `[authorization]`: what each caller may do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// `authorization.read_only`: refuses every call that could change something, whoever makes it. Default `false`.
    pub read_only: bool,
    /// `authorization.destructive`: whether calls that cannot be undone are carried out for those who may make them; without it
    /// they are refused for everybody. Default `false`.
    pub destructive: bool,
    /// `authorization.rules`: who may do what, as tables of `callers`, `risks`, `methods` and `impersonate`; what no rule allows is
    /// refused.
    pub rules: Vec<Rule>,
}

/// `[[authorization.rules]]`: something that some callers may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Whom the rule is for: names such as `api_key:billing`, with `*` for any characters.
    #[serde(deserialize_with = "list")]
    pub callers: Vec<String>,
    /// Which calls it allows: any of `read`, `write`, `admin` and `destructive`, as the contract states for each RPC.
    #[serde(deserialize_with = "list")]
    pub risks: Vec<Risk>,
    /// To which RPCs it is confined, such as `UserService/Get*`. Default all.
    #[serde(deserialize_with = "list")]
    pub methods: Vec<String>,
    /// Whether they may also act for a Zendesk user whom they name. Default `false`.
    pub impersonate: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self { callers: Vec::new(), risks: Vec::new(), methods: vec!["*".to_owned()], impersonate: false }
    }
}

/// The prefixes of callers' names, and who bears them.
const NAMES: [(&str, Method); 4] = [
    ("spiffe://", Method::Certificate),
    ("certificate:", Method::Certificate),
    ("jwt:", Method::Jwt),
    ("api_key:", Method::ApiKey),
];
/// The name of a caller who proves nothing.
pub const ANONYMOUS: &str = "anonymous";

impl Identity {
    /// Whether a caller can be told from another in this way.
    pub fn uses(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }

    /// Whether nobody proves anything.
    pub fn is_off(&self) -> bool {
        self.methods.iter().all(|method| *method == Method::None)
    }

    /// Returns what is wrong, each by its full key.
    pub(super) fn mistakes(&self, server: &Server) -> Vec<String> {
        let (mut mistakes, listen) = (Vec::new(), server.listen);
        if self.methods.is_empty() && !listen.ip().is_loopback() {
            mistakes.push(format!(
                "identity.methods: not set, and server.listen is {listen}, which others can reach; name certificate, jwt or \
                 api_key, or write [\"none\"] if whoever reaches the port may call"
            ));
        }
        if self.uses(Method::None) && self.methods.len() > 1 {
            mistakes.push("identity.methods: \"none\" cannot be combined with others".to_owned());
        }
        if self.uses(Method::Certificate) && server.tls.client_ca_file.is_none() {
            mistakes.push("server.tls.client_ca_file: not set, and identity.methods has certificate".to_owned());
        }
        self.jwt.check(self.uses(Method::Jwt), &mut mistakes);
        match (&self.api_keys.file, self.uses(Method::ApiKey)) {
            (None, true) => {
                mistakes.push("identity.api_keys.file: not set, and identity.methods has api_key".to_owned());
            }
            (Some(_), false) => {
                mistakes.push("identity.api_keys.file: set, but identity.methods has no api_key".to_owned());
            }
            (Some(path), true) => mistakes.extend(unreadable("identity.api_keys.file", path)),
            (None, false) => {}
        }
        mistakes
    }
}

impl Jwt {
    fn check(&self, used: bool, mistakes: &mut Vec<String>) {
        let mut say = |key: &str, problem: &str| mistakes.push(format!("identity.jwt.{key}: {problem}"));
        let texts = [("issuer", &self.issuer), ("audience", &self.audience)];
        if !used {
            for (key, _) in texts.iter().filter(|(_, text)| text.is_some()) {
                say(key, "set, but identity.methods has no jwt");
            }
            for (key, set) in [("jwks_file", self.jwks_file.is_some()), ("jwks_url", self.jwks_url.is_some())] {
                if set {
                    say(key, "set, but identity.methods has no jwt");
                }
            }
            return;
        }
        for (key, _) in texts.iter().filter(|(_, text)| text.as_ref().is_none_or(|text| text.trim().is_empty())) {
            say(key, "not set, and identity.methods has jwt");
        }
        match (&self.jwks_file, &self.jwks_url) {
            (None, None) => say("jwks_url", "not set; name where the issuer's keys are, or set identity.jwt.jwks_file"),
            (Some(_), Some(_)) => say("jwks_url", "identity.jwt.jwks_file is set too; keep one"),
            (None, Some(url)) if url.scheme() == "https" || (url.scheme() == "http" && super::is_loopback(url)) => {}
            (None, Some(_)) => say("jwks_url", "must be https unless the host is loopback"),
            (Some(_), None) => {}
        }
        if self.refresh.is_zero() {
            say("refresh", "must be more than 0");
        }
        if self.leeway > Duration::from_mins(10) {
            say("leeway", "must be at most 10m: tokens would outlive their end by that");
        }
        if self.algorithms.is_empty() {
            say("algorithms", "must name at least one");
        }
        if let Some(path) = &self.jwks_file {
            mistakes.extend(unreadable("identity.jwt.jwks_file", path));
        }
    }
}

impl Authorization {
    /// Returns what is wrong, each by its full key.
    pub(super) fn mistakes(&self, identity: &Identity) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.rules.is_empty() && !identity.is_off() {
            mistakes.push(
                "authorization.rules: not set, so no caller may do anything; allow some, such as [[authorization.rules]] \
                 callers = [\"*\"] risks = [\"read\"]"
                    .to_owned(),
            );
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let mut say = |key: &str, problem: String| {
                mistakes.push(format!("authorization.rules[{index}].{key}: {problem}"));
            };
            if rule.callers.is_empty() {
                say("callers", "not set; name who may, or [\"*\"] for everybody".to_owned());
            }
            if rule.risks.is_empty() {
                say("risks", "not set; any of read, write, admin, destructive".to_owned());
            }
            for pattern in rule.callers.iter().filter(|pattern| !can_match(pattern, identity)) {
                say("callers", format!("{pattern:?} is the name of no caller that identity.methods lets in"));
            }
            for pattern in &rule.methods {
                if !RPCS.iter().any(|rpc| glob::fits(pattern, rpc.name())) {
                    say("methods", format!("{pattern:?} matches no RPC; it is written like UserService/Get*"));
                }
            }
        }
        mistakes
    }
}

impl Rule {
    /// Whether the rule is for a caller.
    pub fn names(&self, caller: &str) -> bool {
        self.callers.iter().any(|pattern| glob::fits(pattern, caller))
    }

    /// Whether the rule is about an RPC.
    pub fn covers(&self, rpc: &Rpc) -> bool {
        self.methods.iter().any(|pattern| glob::fits(pattern, rpc.name()))
    }
}

/// Whether some caller can bear a name that fits the pattern.
fn can_match(pattern: &str, identity: &Identity) -> bool {
    let Some((before, _)) = pattern.split_once('*') else {
        let named = NAMES.iter().any(|(prefix, method)| {
            identity.uses(*method) && pattern.strip_prefix(prefix).is_some_and(|name| !name.is_empty())
        });
        return named || (pattern == ANONYMOUS && identity.is_off());
    };
    let fits = |prefix: &str| prefix.starts_with(before) || before.starts_with(prefix);
    NAMES.iter().any(|(prefix, method)| identity.uses(*method) && fits(prefix))
        || (identity.is_off() && ANONYMOUS.starts_with(before))
}

fn unreadable(key: &str, path: &std::path::Path) -> Option<String> {
    let error = files::open(path).err()?;
    Some(format!("{key}: cannot read {}: {error}", path.display()))
}

/// Reads a list, also from one text with commas, which is all that an environment variable can hold.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            to.write_str("a list")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(|word| T::deserialize(serde::de::value::StrDeserializer::new(word))).collect()
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    from.deserialize_any(List(std::marker::PhantomData))
}
