//! The sandbox against what recordings show, over real HTTP.

mod bulk;
mod credentials;
mod deletions;
mod group_writes;
mod headers;
mod identities;
mod limits;
mod links;
mod lists;
mod organization_memberships;
mod organizations;
mod paging;
mod records;
mod search;
mod times;
mod update_limits;
mod user_writes;
mod warnings;
mod wire;
mod wrong_values;

use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{Config, Sandbox};

/// A sandbox and a client that knows its API token.
struct Probe {
    sandbox: Sandbox,
    client: reqwest::Client,
}

/// An answer, taken apart.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("a readable header")
    }

    /// The id of the record under `key`.
    #[track_caller]
    fn id(&self, key: &str) -> i64 {
        let id = self.json()[key]["id"].as_i64();
        id.unwrap_or_else(|| panic!("no id in {} {}", self.status, self.text))
    }

    /// The first finding of a 422 about `field`: its error and description.
    #[track_caller]
    fn finding(&self, field: &str) -> (String, String) {
        assert_eq!(self.status, 422, "{}", self.text);
        let json = self.json();
        assert_eq!(
            (&json["error"], &json["description"]),
            (&"RecordInvalid".into(), &"Record validation errors".into())
        );
        let finding = &json["details"][field][0];
        let text = |key: &str| finding[key].as_str().unwrap_or_else(|| panic!("no {field} in {json}")).to_owned();
        (text("error"), text("description"))
    }

    /// The ids in the array `name`.
    #[track_caller]
    fn ids(&self, name: &str) -> Vec<i64> {
        let json = self.json();
        let rows = json[name].as_array().unwrap_or_else(|| panic!("no array {name}"));
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    }

    /// The query of a link, for asking the next page of this sandbox.
    #[track_caller]
    fn link_query(&self, pointer: &str) -> String {
        let json = self.json();
        let link = json.pointer(pointer).and_then(Value::as_str);
        let link = link.unwrap_or_else(|| panic!("no link at {pointer}"));
        link.split_once('?').expect("links have a query").1.to_owned()
    }
}

/// A sandbox that does not limit changes of single users.
async fn unlimited() -> Probe {
    let mut config = Config::default();
    config.update_limits.per_user = 0;
    config.update_limits.per_account = 0;
    probe(config).await
}

/// An account whose links point to another host than the one that is asked.
fn with_alias() -> Config {
    Config { link_host: Some("alias.zendesk.example".into()), ..Config::default() }
}

async fn probe(config: Config) -> Probe {
    let sandbox = Sandbox::start(config).await.expect("a free port");
    let client = reqwest::Client::builder().no_gzip().build();
    Probe { sandbox, client: client.expect("a plain client") }
}

impl Probe {
    /// Where links point to: `http://127.0.0.1:49152`.
    fn origin(&self) -> String {
        self.sandbox.base_url().as_str().trim_end_matches('/').to_owned()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let base = self.sandbox.base_url();
        let url = match path.strip_prefix('!') {
            Some(absolute) => format!("{base}{}", absolute.trim_start_matches('/')),
            None => format!("{base}api/v2{path}"),
        };
        self.client.request(method, url)
    }

    fn authorized(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let credential = &self.sandbox.config().credential;
        let login = format!("{}/token", credential.email);
        self.request(method, path).basic_auth(login, Some(&credential.api_token))
    }

    async fn get(&self, path: &str) -> Answer {
        answer(self.authorized(Method::GET, path)).await
    }

    /// Sends JSON.
    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.authorized(method, path).header("content-type", "application/json");
        answer(request.body(body.to_string())).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, body).await
    }

    async fn delete(&self, path: &str) -> Answer {
        answer(self.authorized(Method::DELETE, path)).await
    }

    /// A path with a value put in for `{}`.
    async fn get_of(&self, path: &str, value: impl std::fmt::Display) -> Answer {
        self.get(&path.replace("{}", &value.to_string())).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.expect("a body of text"),
    }
}
