//! The settings as the status page shows them: by their full keys, with secrets masked.

use serde_json::Value;

use crate::config::Config;

/// Returns every setting that has a value.
pub fn shown(config: &Config) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let tree = serde_json::to_value(config).expect("settings have text keys");
    leaves(String::new(), &tree, &mut settings);
    settings
}

fn leaves(key: String, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                leaves(key, value, into);
            }
        }
        Value::String(text) => into.push((key.clone(), masked(&key, text))),
        other => into.push((key, other.to_string())),
    }
}

/// Masks the local part of an e-mail address, the user, the password and the query of a URL, and the value of every key whose name says
/// secret, token, password or key, unless it ends in `_file` or `_url`.
fn masked(key: &str, text: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or_default();
    let secret = ["secret", "token", "password", "key"].iter().any(|word| name.contains(word));
    if secret && !name.ends_with("_file") && !name.ends_with("_url") {
        return "***".to_owned();
    }
    let (text, query) = match text.split_once('?') {
        Some((text, _)) if text.contains("://") => (text, "?***"),
        _ => (text, ""),
    };
    let shown = match text.split_once("://") {
        Some((scheme, after)) if after.contains('@') => {
            let (_, host) = after.rsplit_once('@').unwrap_or(("", after));
            format!("{scheme}://***@{host}")
        }
        None => match text.rsplit_once('@') {
            Some((_, domain)) => format!("***@{domain}"),
            None => text.to_owned(),
        },
        Some(_) => text.to_owned(),
    };
    shown + query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_by_their_full_keys_and_hide_addresses_and_secrets() {
        let mut config = Config::default();
        config.upstream.credential.email = Some("agent.smith@example.com".to_owned());
        config.upstream.credential.token_file = Some("/run/secrets/token".into());
        config.telemetry.otlp.endpoint = Some("http://user:pass@collector:4317".parse().expect("a URL"));
        let shown = shown(&config);
        let value = |key: &str| shown.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert_eq!(value("server.unary_deadline"), Some("30s"));
        assert_eq!(value("upstream.credential.email"), Some("***@example.com"));
        assert_eq!(value("upstream.credential.token_file"), Some("/run/secrets/token"));
        assert_eq!(value("telemetry.otlp.endpoint"), Some("http://***@collector:4317/"));
        assert_eq!(value("upstream.subdomain"), None);
        assert_eq!(masked("identity.api_key", "abc"), "***");
        assert_eq!(masked("identity.jwt.jwks_url", "https://a:b@h/k?token=s"), "https://***@h/k?***");
        assert_eq!(masked("identity.jwt.jwks_url", "https://h/k?token=s@x"), "https://h/k?***");
    }
}
