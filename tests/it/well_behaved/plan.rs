//! What the clients do, the same in every language: the calls, of which each client makes one after the other from a place of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde::Serialize;
use serde_json::{Value, json};
use zendesk_gateway::proto::DESCRIPTORS;

use crate::support::Dynamic;
use crate::support::binary::Binary;

const CALLS: usize = 2000;
/// Seconds that a service waits for an answer, and for a stream: more where an unoptimised gateway shares the machine with other
/// tests, because its speed is not in question.
const UNARY: u64 = if cfg!(debug_assertions) { 30 } else { 5 };
const STREAM: u64 = if cfg!(debug_assertions) { 300 } else { 60 };
/// On average, a service does something else for so long before each of its eight calls. A build that is not optimised takes ten
/// times as much of a processor for a call.
const PAUSE_MS: u64 = if cfg!(debug_assertions) { 4000 } else { 200 };

/// What a program in any language reads.
#[derive(Clone, Serialize)]
pub struct Plan {
    pub address: String,
    /// The file with the descriptors.
    descriptors: PathBuf,
    seconds: u64,
    /// Calls of one client at a time.
    pub at_a_time: usize,
    /// Before each call, the average of what is between nothing and twice this.
    pub pause_ms: u64,
    pub clients: Vec<Client>,
    /// What each client watches meanwhile.
    watch: Call,
    pub calls: Vec<Call>,
}

#[derive(Clone, Serialize)]
pub struct Client {
    pub key: String,
    /// With which call it begins.
    pub first: usize,
}

#[derive(Clone, Serialize)]
pub struct Call {
    service: String,
    pub method: &'static str,
    pub request: Value,
    /// Its deadline.
    pub seconds: u64,
}

impl Plan {
    pub async fn new(gateway: &Binary, seconds: u64, key: &str, folder: &Path) -> Self {
        let account = Account::seen(gateway, key).await;
        // The same plan in every run.
        let mut random = fastrand::Rng::with_seed(16);
        let calls = (0..CALLS).map(|_| account.call(&mut random)).collect();
        let watch = Call { service: "grpc.health.v1.Health".to_owned(), method: "Watch", request: json!({}), seconds };
        let descriptors = folder.join("descriptors.bin");
        std::fs::write(&descriptors, self::descriptors()).expect("written");
        let address = gateway.address.clone();
        Self { address, descriptors, seconds, at_a_time: 8, pause_ms: PAUSE_MS, clients: Vec::new(), watch, calls }
    }

    /// The same for the clients of one language, with these keys.
    pub fn of(&self, number: usize, keys: &[String]) -> Self {
        let client = |(at, key): (usize, &String)| Client { key: key.clone(), first: (number + at) * CALLS / 16 };
        Self { clients: keys.iter().enumerate().map(client).collect(), ..self.clone() }
    }

    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

/// The contract, and the health protocol beside it.
fn descriptors() -> Vec<u8> {
    let mut set = FileDescriptorSet::decode(DESCRIPTORS).expect("the contract's descriptors");
    let health = FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).expect("the protocol's descriptors");
    set.file.extend(health.file);
    set.encode_to_vec()
}

/// Whom and what a client can ask for; ids are text, as some languages have no number that holds them.
struct Account {
    users: Vec<(String, String)>,
    groups: Vec<String>,
}

impl Account {
    async fn seen(gateway: &Binary, key: &str) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", gateway.address)).expect("a URI");
        let client = Dynamic::new(endpoint.connect().await.expect("it listens"));
        let key = [("x-api-key", key)];
        let users = client.call_with("StreamUsers", "{}", &key).await.expect("all users");
        let groups = client.call_with("ListGroups", "{}", &key).await.expect("groups");
        let id = |row: &Value| row["id"].as_i64().expect("an id").to_string();
        let name = |row: &Value| row["name"].as_str().expect("a name").to_owned();
        let rows = |pages: &[Value], of: &str| {
            pages.iter().flat_map(|page| page[of].as_array().cloned().unwrap_or_default()).collect::<Vec<_>>()
        };
        Self {
            users: rows(&users, "users").iter().map(|row| (id(row), name(row))).collect(),
            groups: rows(&groups, "groups").iter().map(id).collect(),
        }
    }

    /// A user, by Zipf's law in octaves: the first as often as the next two together, as often as the four after them.
    fn user(&self, random: &mut fastrand::Rng) -> &(String, String) {
        let octave = 1 << random.u32(0..=self.users.len().ilog2());
        let rank = random.usize(octave..2 * octave);
        // Who is asked for most is not who comes first in lists.
        &self.users[rank * 997 % self.users.len()]
    }

    /// What a service might ask for next.
    fn call(&self, random: &mut fastrand::Rng) -> Call {
        let (id, name) = self.user(random);
        let group = &self.groups[random.usize(..self.groups.len())];
        let (service, method, request) = match random.u32(0..200) {
            0..110 => ("User", "GetUser", json!({ "id": id })),
            110..130 => {
                let (size, from) = (random.usize(50..=500), random.usize(..self.users.len()));
                let ids = self.users.iter().cycle().skip(from).step_by(7).take(size).map(|(id, _)| id);
                ("User", "BatchGetUsers", json!({ "ids": ids.collect::<Vec<_>>() }))
            }
            130..146 => ("User", "ListUsers", json!({ "page_size": random.u32(10..=100) })),
            146..156 => ("User", "ListUsers", json!({ "filter": { "group_id": group } })),
            156..164 => ("Group", "ListGroups", json!({ "filter": { "user_id": id } })),
            164..172 => ("Membership", "ListMemberships", json!({ "filter": { "group_id": group } })),
            172..182 => ("User", "SearchUsers", json!({ "filter": { "query": format!("name:{name}") } })),
            182..199 => {
                ("User", "UpdateUser", json!({ "id": id, "user": { "notes": format!("note {}", random.u32(..)) } }))
            }
            199.. => ("User", "StreamUsers", json!({})),
        };
        let seconds = if method.starts_with("Stream") { STREAM } else { UNARY };
        Call { service: format!("zendesk.gateway.v1.{service}Service"), method, request, seconds }
    }
}

impl Call {
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
