//! `lists.rs`: the blocks of `src/rest/` for lists whose options state how Zendesk pages them. Their path, their rows and what they
//! are about say the rest.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};

use crate::descriptor::{PACKAGE, lists, methods, row, twin, upstream};
use crate::endpoints::stated;

/// A family of records that RPCs write.
struct Family {
    /// The message of such a record.
    message: &'static str,
    /// The function of `cache::tag` for lists of them.
    collection: &'static str,
    /// The function of `cache::tag` for one of them, as the parameter of a path names it before `_id`.
    record: &'static str,
}

/// `src/cache/tag.rs` makes tags of the same lines.
macro_rules! families {
    ($($(#[$about:meta])* $family:ident of $kind:literal:
        $every:ident = $all:literal, $collection:ident = $lists:literal, $record:ident = $one:literal;)+) => {
        const FAMILIES: &[Family] = &[$(Family {
            message: stringify!($family),
            collection: stringify!($collection),
            record: stringify!($record),
        }),+];
    };
}

include!("../../src/cache/tag/families.rs");

/// Writes the blocks.
pub fn blocks(pool: &DescriptorPool) -> String {
    let methods = methods(pool);
    let of_lists = methods.iter().filter(|method| !method.is_server_streaming());
    of_lists.filter_map(|method| Some(block(method, &style(method)?))).collect()
}

/// Returns the `Style` that a list's options state: `CursorOrOffset` for `PAGING_CURSOR_OR_OFFSET`. None if they state none.
fn style(method: &MethodDescriptor) -> Option<String> {
    let stated = upstream(method).get_field_by_name("paging").and_then(|paging| paging.as_enum_number());
    let stated = stated.filter(|paging| *paging > 0)?;
    let styles = method.parent_pool().get_enum_by_name(&format!("{PACKAGE}.Paging")).expect("the contract has it");
    let value = styles.get_value(stated).expect("a value of the enum");
    let words = value.name().trim_start_matches("PAGING_").split('_');
    Some(words.map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect())
}

/// Writes the block of a list and its stream twin.
fn block(method: &MethodDescriptor, style: &str) -> String {
    let name = method.name();
    assert!(lists(method), "{name} states paging and is no list");
    let twin = twin(method).unwrap_or_else(|| panic!("{name} states paging and has no stream twin"));
    let [("get", path)] = &stated(method)[..] else { panic!("{name} states paging and other than one endpoint") };
    let segments = path.strip_prefix("/api/v2/").expect("a path of the REST API v2").split('/');
    let parameter =
        |segment: &str| segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')).map(str::to_owned);
    let id = segments.clone().find_map(parameter);
    let known = ["page_size", "page_token"].into_iter().chain(id.as_deref()).collect::<BTreeSet<_>>();
    for request in [method.input(), twin.input()] {
        let fields = request.fields().collect::<Vec<_>>();
        let fields = fields.iter().map(FieldDescriptor::name).collect::<BTreeSet<_>>();
        assert_eq!(fields, known, "{} has other fields, and needs a block in src/rest/", request.name());
    }
    let segments = segments.map(|segment| match parameter(segment) {
        Some(id) => format!("id({id:?}, this.{id})?"),
        None => format!("{segment:?}"),
    });
    let (path, row) = (segments.collect::<Vec<_>>().join(", "), row(method));
    format!(
        "list!(proto::{} | proto::{} => proto::{}, Style::{style}, |this| {{\n    \
         Ok(Rest::get(path![{path}]))\n}}, {});\n",
        method.input().name(),
        twin.input().name(),
        row.name(),
        policy(row.name(), id.as_deref())
    )
}

/// Returns what a list may be cached as: it is about the records of its rows, and about the one below which they are listed, as far
/// as RPCs write these.
fn policy(row: &str, id: Option<&str>) -> String {
    let of_rows = FAMILIES.iter().find(|family| family.message == row);
    let of_rows = of_rows.map(|family| format!("tag::{}()", family.collection));
    let of_place = id.and_then(|id| {
        let family = FAMILIES.iter().find(|family| id.strip_suffix("_id") == Some(family.record))?;
        Some(format!("tag::{}(this.{id})", family.record))
    });
    let mut tags = of_rows.into_iter().chain(of_place);
    let first = tags.next().unwrap_or_else(|| "None".to_owned());
    tags.fold(format!("Policy::list({first})"), |policy, tag| format!("{policy}.and({tag})"))
}
