//! `rows.rs`: what lists are made of. Each record that an RPC lists is a `rest::row::Row`, and each reply of a list is filled from a
//! page of them.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};

use crate::descriptor::{UNREADABLE_ROWS, is_sideload, lists, methods, reads, row, rows, upstream};
use crate::endpoints::stated;

/// Writes the impls of all records and replies.
pub fn impls(pool: &DescriptorPool) -> String {
    let methods = methods(pool);
    let mut code = String::new();
    let mut records: BTreeMap<String, Vec<&MethodDescriptor>> = BTreeMap::new();
    for method in methods.iter().filter(|method| lists(method)) {
        code.push_str(&reply(method));
        records.entry(row(method).name().to_owned()).or_default().push(method);
    }
    for lists in records.values() {
        code.push_str(&record(lists, &methods));
    }
    for method in methods.iter().filter(|method| !lists(method)) {
        code.push_str(&beside_records(method));
    }
    for method in &methods {
        code.push_str(&includes(method));
    }
    code
}

/// The fields of a reply that hold what comes beside its rows, or beside its record.
fn sideloads(reply: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> {
    let has_rows = reply.get_field_by_name(UNREADABLE_ROWS).is_some();
    reply.fields().filter(move |field| has_rows && is_sideload(field))
}

/// Writes how what comes beside records is put into the reply that has them.
fn beside_records(method: &MethodDescriptor) -> String {
    let (reply, mut code) = (method.output(), String::new());
    if sideloads(&reply).next().is_none() {
        return code;
    }
    let record = reply.get_field(1).and_then(|field| field.kind().as_message().cloned());
    line!(code, "impl crate::rest::Beside for crate::proto::{} {{", reply.name());
    line!(code, "    type Row = crate::proto::{};", record.expect("a reply has records").name());
    line!(code, "    fn put(&mut self, sideloads: crate::rest::page::Sideloads, unreadable_rows: i32) {{");
    for field in sideloads(&reply) {
        line!(code, "        self.{0} = sideloads.{0};", field.name());
    }
    code.push_str("        self.unreadable_rows = unreadable_rows;\n    }\n}\n");
    code
}

/// Writes what a request asks for beside what it is about, by the names that Zendesk has for it. `include_roles` asks for what the
/// reply has as `roles`.
fn includes(method: &MethodDescriptor) -> String {
    let (request, reply, mut code) = (method.input(), method.output(), String::new());
    let is_answered = |name: &str| sideloads(&reply).any(|field| [name, &format!("{name}s")].contains(&field.name()));
    let names = request.fields().filter_map(|field| field.name().strip_prefix("include_").map(str::to_owned));
    let names: Vec<String> = names.filter(|name| is_answered(name)).collect();
    if !names.is_empty() {
        let pairs = names.iter().map(|name| format!("(self.include_{name}, {name:?})")).collect::<Vec<_>>().join(", ");
        line!(
            code,
            "impl crate::rest::Includes for crate::proto::{} {{\n    fn includes(&self) -> Vec<&'static str> {{\n        \
             [{pairs}].into_iter().filter_map(|(is_wanted, name)| is_wanted.then_some(name)).collect()\n    }}\n}}",
            request.name()
        );
    }
    code
}

/// Writes how a reply is filled.
fn reply(method: &MethodDescriptor) -> String {
    let reply = method.output();
    let from = |field: &str| match field {
        "next_page_token" => "part.next_page_token",
        "unreadable_rows" => "part.page.unreadable_rows",
        "total_count" => "part.page.count",
        other => panic!("a page has no {other}, which {} wants", reply.name()),
    };
    let fields = reply.fields().map(|field| {
        let name = field.name();
        match field.number() {
            1 => format!("{name}: part.page.rows"),
            _ if is_sideload(&field) => format!("{name}: part.page.beside.{name}"),
            _ => format!("{name}: {}", from(name)),
        }
    });
    let (row, fields) = (row(method), fields.collect::<Vec<_>>().join(", "));
    format!(
        "impl From<crate::rest::Part<crate::proto::{row}>> for crate::proto::{reply} {{\n    \
         fn from(part: crate::rest::Part<crate::proto::{row}>) -> Self {{ Self {{ {fields} }} }}\n}}\n",
        row = row.name(),
        reply = reply.name(),
    )
}

/// Writes what a record is, from the RPCs that list it.
fn record(lists: &[&MethodDescriptor], methods: &[MethodDescriptor]) -> String {
    let record = row(lists[0]);
    let key = rows(lists[0]).expect("a list has rows");
    let names = |list: &&&MethodDescriptor| rows(list).is_some_and(|rows| rows.name() == key.name());
    assert!(lists.iter().all(|list| names(&list)), "{} is listed under two names", record.name());
    let mut code = String::new();
    line!(code, "impl Row for crate::proto::{} {{\n    const KEY: &'static str = {:?};", record.name(), key.name());
    let is_export = |list: &&MethodDescriptor| stated(list).iter().any(|(_, path)| path.ends_with("/search/export"));
    if lists.iter().any(is_export) {
        line!(code, "    const EXPORTED: bool = true;");
    }
    if lists.iter().any(|list| sideloads(&list.output()).next().is_some()) {
        line!(code, "    const SIDELOADS: bool = true;");
    }
    match record.get_field_by_name("id").map(|id| id.kind()) {
        Some(Kind::Int64) => line!(code, "    fn id(&self) -> Option<i64> {{ Some(self.id) }}"),
        Some(Kind::String) => line!(
            code,
            "    fn id(&self) -> Option<i64> {{ None }}\n    \
             fn is_usable(&self) -> bool {{ is_text_id(&self.id) }}"
        ),
        _ => line!(code, "    fn id(&self) -> Option<i64> {{ None }}"),
    }
    let has = |name: &str| record.get_field_by_name(name).is_some();
    // A user's own record names one of the user's organizations, and not the one below which it is listed.
    let named = [("user", true), ("group", true), ("organization", has("user_id"))].map(|(name, is_place)| {
        let id = format!("{name}_id");
        if is_place && has(&id) { format!("{name}: self.{id}, ") } else { String::new() }
    });
    if named.iter().any(|name| !name.is_empty()) {
        let named = named.concat();
        line!(code, "    const NAMES: bool = true;");
        line!(code, "    fn names(&self) -> Names {{ Names {{ {named}..Names::default() }} }}");
    }
    if let Some(method) = methods.iter().find(|method| answers(method, &record)) {
        line!(
            code,
            "    fn read_of(id: i64, reply: impl FnOnce() -> Bytes) -> Option<OwnRead> {{\n        \
             Some(OwnRead::of(&crate::proto::{} {{ {} }}, reply()))\n    }}",
            method.input().name(),
            fields_with_id(&method.input())
        );
    }
    code.push_str("}\n");
    code
}

/// True if an RPC would answer with a row that a list holds.
fn answers(method: &MethodDescriptor, record: &MessageDescriptor) -> bool {
    let answers_rows =
        upstream(method).get_field_by_name("answers_rows").is_some_and(|value| *value == Value::Bool(true));
    let reply = method.output().get_field(1).and_then(|field| field.kind().as_message().cloned());
    assert!(!answers_rows || reads(method), "{} changes something", method.name());
    answers_rows && reply.as_ref() == Some(record)
}

/// The fields of a request for nothing but the record with an id.
fn fields_with_id(request: &MessageDescriptor) -> String {
    let fields = request.fields().map(|field| match field.name() {
        "id" => "id".to_owned(),
        name if field.supports_presence() => format!("{name}: None"),
        // What comes beside a record is in no row.
        name => format!("{name}: false"),
    });
    fields.collect::<Vec<_>>().join(", ")
}
