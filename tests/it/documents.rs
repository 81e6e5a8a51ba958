//! Documents that say what the contract says. `BLESS=1 cargo test --test it documents` writes them anew.

mod reference;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use zendesk_gateway::contract::{Idempotency, RPCS, Rpc};

const README: &str = include_str!("../../README.md");
const SERVICE_CONFIG: &str = include_str!("../../docs/service-config.json");
const CHART_VALUES: &str = include_str!("../../helm/values.yaml");
const CHART_README: &str = include_str!("../../helm/README.md");

/// The RPCs service by service, users first.
fn rpcs() -> Vec<&'static Rpc> {
    let mut rpcs: Vec<&Rpc> = RPCS.iter().collect();
    rpcs.sort_by_key(|rpc| {
        ["UserService", "GroupService", "MembershipService"].iter().position(|name| *name == rpc.service).unwrap_or(3)
    });
    rpcs
}

/// The services in the same order.
fn services() -> Vec<&'static str> {
    let mut services: Vec<&str> = rpcs().iter().map(|rpc| rpc.service).collect();
    services.dedup();
    services
}

/// Compares a document with what it should be, or makes it so.
#[track_caller]
fn is(path: &str, present: &str, wanted: &str) {
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), wanted).expect("it is written");
    }
    assert!(present == wanted, "{path} is stale: BLESS=1 cargo test --test it documents");
}

#[test]
fn the_readme_lists_the_rpcs_of_the_contract() {
    let mut table = String::new();
    let mut service = "";
    for rpc in rpcs() {
        if rpc.service != service {
            service = rpc.service;
            let head = "| RPC | Zendesk endpoints (below `/api/v2`) | endpoint class |\n|---|---|---|";
            write!(table, "**{service}**\n\n{head}\n").expect("writing to a string does not fail");
        }
        let endpoints = rpc.endpoints.iter().map(|endpoint| {
            let path = endpoint.path.trim_start_matches("/api/v2");
            format!("`{} {path}`", endpoint.verb)
        });
        let classes: BTreeSet<String> =
            rpc.endpoints.iter().map(|endpoint| format!("`{}`", endpoint.class.0)).collect();
        let (name, endpoints) = (rpc.method, endpoints.collect::<Vec<_>>().join(", "));
        let classes = Vec::from_iter(classes).join(", ");
        let streams = match (rpc.client_streaming, rpc.streaming) {
            (true, _) => " (stream both ways)",
            (false, true) => " (stream)",
            (false, false) => "",
        };
        writeln!(table, "| `{name}`{streams} | {endpoints} | {classes} |").expect("writing to a string does not fail");
    }
    let table = table.replace("|\n**", "|\n\n**");
    let (before, rest) = README.split_once("## RPCs\n").expect("its heading");
    let (_, after) = rest.split_once("## Settings\n").expect("the heading that follows");
    let intro = format!(
        "{} RPCs. Each one's comment in [`proto/`](proto/zendesk/gateway/v1) lists its errors and links the vendor's page.",
        RPCS.len()
    );
    is("README.md", README, &format!("{before}## RPCs\n\n{intro}\n\n{table}\n## Settings\n{after}"));
}

#[test]
fn the_service_config_lists_the_rpcs_of_the_contract() {
    let names = |wanted: fn(&Rpc) -> bool| {
        let rpcs = rpcs().into_iter().filter(|rpc| wanted(rpc));
        let names = rpcs.map(|rpc| {
            format!("        {{\"service\": \"zendesk.gateway.v1.{}\", \"method\": \"{}\"}}", rpc.service, rpc.method)
        });
        names.collect::<Vec<_>>().join(",\n")
    };
    let services = services().into_iter().map(|name| format!("        {{\"service\": \"zendesk.gateway.v1.{name}\"}}"));
    let lists = [
        names(|rpc| rpc.idempotency == Idempotency::NoSideEffects && !rpc.streaming),
        names(|rpc| rpc.idempotency == Idempotency::NoSideEffects && rpc.streaming),
        names(|rpc| rpc.client_streaming),
        services.collect::<Vec<_>>().join(",\n"),
    ];
    let mut wanted = String::new();
    let mut rest = SERVICE_CONFIG;
    for list in lists {
        let (before, after) = rest.split_once("\"name\": [\n").expect("four lists");
        let (_, after) = after.split_once("\n      ]").expect("its end");
        write!(wanted, "{before}\"name\": [\n{list}\n      ]").expect("writing to a string does not fail");
        rest = after;
    }
    is("docs/service-config.json", SERVICE_CONFIG, &(wanted + rest));
}

#[test]
fn the_chart_routes_calls_of_every_service() {
    let names: Vec<String> = services().iter().map(|name| format!("zendesk.gateway.v1.{name}")).collect();
    let replaced = |text: &str, from: &str, to: &str, by: &str| {
        let (before, old) = text.split_once(from).expect("what stands before the list");
        let (_, after) = old.split_once(to).expect("what stands after it");
        format!("{before}{from}{by}{to}{after}")
    };
    let lines = names.iter().fold(String::new(), |lines, name| lines + "    - " + name + "\n");
    let values = replaced(CHART_VALUES, "  services:\n", "  # -- filters of the rule\n", &lines);
    is("helm/values.yaml", CHART_VALUES, &values);
    let row = format!("\"{}\"", names.join("\",\""));
    let readme = replaced(CHART_README, "| grpcRoute.services | list | `[", "]` |", &row);
    is("helm/README.md", CHART_README, &readme);
}

#[test]
fn the_documents_name_every_tag() {
    let words = "?".parse::<zendesk_gateway::cache::Tag>().expect_err("no tag").to_string();
    let (_, words) = words.split_once("tags are ").expect("it lists them");
    for word in words.split(", ") {
        let named = include_str!("../../docs/cache.md").contains(&format!("`{word}`"));
        assert!(named, "docs/cache.md does not name the tag {word}");
    }
}
