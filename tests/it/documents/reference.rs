//! The reference of the contract: a page for each family of proto files, made of their comments.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};
use zendesk_gateway::contract::{Idempotency, RPCS, Rpc};

use super::is;

const FOLDER: &str = "docs/contract";
/// What begins the paragraph that says what to do about a value.
const TO_DO: &str = "\n\nTo do: ";
const PACKAGE: &str = "zendesk.gateway.v1";

#[test]
fn the_reference_says_what_the_comments_of_the_contract_say() {
    let set = FileDescriptorSet::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let mut pages: BTreeMap<String, Vec<FileDescriptorProto>> = BTreeMap::new();
    for file in set.file.into_iter().filter(|file| file.package() == PACKAGE) {
        pages.entry(page_of(&file)).or_default().push(file);
    }
    let reference = Reference { page_of_type: types(&pages) };
    let mut index = "# The contract\n\nEvery RPC, message and field of `zendesk.gateway.v1`, from the comments in \
        [`proto/`](../../proto/zendesk/gateway/v1). `BLESS=1 cargo test --test it documents` writes these pages anew.\n\n"
        .to_owned();
    for (page, files) in &pages {
        writeln!(index, "- [{page}]({page}.md): {}", names(files)).expect("writing to a string does not fail");
        same(&format!("{FOLDER}/{page}.md"), &reference.page(files));
    }
    same(&format!("{FOLDER}/README.md"), &index);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let written = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(written, pages.len() + 1, "{FOLDER} has a page that no proto file makes");
}

/// Compares a page, which need not be there yet.
#[track_caller]
fn same(path: &str, wanted: &str) {
    let present = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    is(path, &present.unwrap_or_default(), wanted);
}

/// `user_service.proto` and `user.proto` make one page.
fn page_of(file: &FileDescriptorProto) -> String {
    let name = file.name().rsplit('/').next().expect("a split has at least one part");
    let name = name.trim_end_matches(".proto");
    name.strip_suffix("_service").unwrap_or(name).to_owned()
}

fn types(pages: &BTreeMap<String, Vec<FileDescriptorProto>>) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    for (page, files) in pages {
        for file in files {
            let messages = file.message_type.iter().map(DescriptorProto::name);
            let names = messages.chain(file.enum_type.iter().map(EnumDescriptorProto::name));
            types.extend(names.map(|name| (name.to_owned(), page.clone())));
        }
    }
    types
}

/// What a page is about: its services' RPCs, or its messages and enums.
fn names(files: &[FileDescriptorProto]) -> String {
    let rpcs = files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let rpcs: Vec<&str> = rpcs.map(MethodDescriptorProto::name).collect();
    if !rpcs.is_empty() {
        return rpcs.join(", ");
    }
    let messages = files.iter().flat_map(|file| &file.message_type).map(DescriptorProto::name);
    let enums = files.iter().flat_map(|file| &file.enum_type).map(EnumDescriptorProto::name);
    messages.chain(enums).collect::<Vec<_>>().join(", ")
}

struct Reference {
    page_of_type: BTreeMap<String, String>,
}

impl Reference {
    fn page(&self, files: &[FileDescriptorProto]) -> String {
        let mut text = String::new();
        let title = files.iter().flat_map(|file| &file.service).map(ServiceDescriptorProto::name).next();
        let own = page_of(&files[0]);
        line(&mut text, &format!("# {}", title.unwrap_or(&own)));
        // Services first, wherever their file stands.
        for file in files {
            for (index, service) in (0..).zip(&file.service) {
                self.service(&mut text, &Comments::of(file), index, service);
            }
        }
        for file in files.iter().filter(|file| title.is_none() && !file.package().is_empty()) {
            paragraphs(&mut text, &Comments::of(file).at(&[2]));
        }
        for file in files {
            let comments = Comments::of(file);
            for (index, message) in (0..).zip(&file.message_type) {
                self.message(&mut text, &comments, index, message);
            }
            for (index, of) in (0..).zip(&file.enum_type) {
                enumeration(&mut text, &comments, index, of);
            }
        }
        text
    }

    fn service(&self, text: &mut String, comments: &Comments<'_>, index: i32, service: &ServiceDescriptorProto) {
        paragraphs(text, &comments.at(&[6, index]));
        for (number, method) in (0..).zip(&service.method) {
            let facts = RPCS.iter().find(|rpc| rpc.service == service.name() && rpc.method == method.name());
            line(text, &format!("\n## {}", method.name()));
            let streams = |yes: bool| if yes { "a stream of " } else { "" };
            let takes = format!("{}{}", streams(method.client_streaming()), self.link(method.input_type()));
            let gives = format!("{}{}", streams(method.server_streaming()), self.link(method.output_type()));
            line(
                text,
                &format!(
                    "\nTakes {takes}, returns {gives}: {}.",
                    facts.map(promises).expect("the table has every RPC")
                ),
            );
            paragraphs(text, &comments.at(&[6, index, 2, number]));
        }
    }

    fn message(&self, text: &mut String, comments: &Comments<'_>, index: i32, message: &DescriptorProto) {
        line(text, &format!("\n### {}", message.name()));
        paragraphs(text, &comments.at(&[4, index]));
        if !message.field.is_empty() {
            line(text, "\n| field | type | number | meaning |\n|---|---|---|---|");
        }
        for (number, field) in (0..).zip(&message.field) {
            let meaning = comments.at(&[4, index, 2, number]).replace('\n', " ").replace('|', "\\|");
            let of = field.oneof_index.filter(|_| !field.proto3_optional()).map(|of| {
                let of = message.oneof_decl[usize::try_from(of).expect("an index")].name();
                format!("one of {of}: ")
            });
            let (name, kind) = (field.name(), self.kind(field));
            line(text, &format!("| `{name}` | {}{kind} | {} | {meaning} |", of.unwrap_or_default(), field.number()));
        }
    }

    /// The type of a field.
    fn kind(&self, field: &FieldDescriptorProto) -> String {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => self.link(field.type_name()),
            other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        match field.label() {
            Label::Repeated => format!("repeated {kind}"),
            _ if field.proto3_optional() => format!("optional {kind}"),
            _ => kind,
        }
    }

    /// A type's name as a link to its heading.
    fn link(&self, full_name: &str) -> String {
        let name = full_name.rsplit('.').next().expect("a split has at least one part");
        match self.page_of_type.get(name) {
            Some(page) => format!("[{name}]({page}.md#{})", name.to_lowercase()),
            None => full_name.trim_start_matches('.').to_owned(),
        }
    }
}

fn enumeration(text: &mut String, comments: &Comments<'_>, index: i32, of: &EnumDescriptorProto) {
    line(text, &format!("\n### {}", of.name()));
    paragraphs(text, &comments.at(&[5, index]));
    let comment = |number| comments.at(&[5, index, 2, number]);
    // What callers do about a value, where its comment has a paragraph on it.
    let has_advice = (0..).zip(&of.value).any(|(number, _)| comment(number).contains(TO_DO));
    let (head, rule) = if has_advice { (" what a caller does |", "---|") } else { ("", "") };
    line(text, &format!("\n| value | number | meaning |{head}\n|---|---|---|{rule}"));
    for (number, value) in (0..).zip(&of.value) {
        let comment = comment(number);
        let (meaning, advice) = comment.split_once(TO_DO).unwrap_or((&comment, ""));
        let cell = |text: &str| text.replace('\n', " ").replace('|', "\\|");
        let meaning = cell(meaning.trim_start_matches(value.name()).trim_start_matches(':').trim());
        let advice = if has_advice { format!(" {} |", cell(advice)) } else { String::new() };
        line(text, &format!("| `{}` | {} | {meaning} |{advice}", value.name(), value.number()));
        let is_told = !has_advice || number == 0 || !advice.trim_matches([' ', '|']).is_empty();
        assert!(is_told, "the comment of {} does not say what to do", value.name());
    }
}

/// What an RPC's options promise.
fn promises(rpc: &Rpc) -> String {
    let repeats = match rpc.idempotency {
        Idempotency::NoSideEffects => "a read, may be repeated",
        Idempotency::Idempotent => "a write that may be repeated",
        Idempotency::Unsafe => "a write that must not be repeated unseen",
    };
    let endpoints = rpc.endpoints.iter().map(|endpoint| format!("`{} {}`", endpoint.verb, endpoint.path));
    format!("{repeats}; risk {}; calls {}", rpc.risk.as_str(), endpoints.collect::<Vec<_>>().join(", "))
}

/// The comments of a file by the path of what they stand before.
struct Comments<'a>(BTreeMap<&'a [i32], &'a str>);

impl<'a> Comments<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self(locations.map(|location| (&*location.path, location.leading_comments())).collect())
    }

    /// The comment without the space that begins each line.
    fn at(&self, path: &[i32]) -> String {
        let comment = self.0.get(path).copied().unwrap_or_default();
        let lines = comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

fn paragraphs(text: &mut String, comment: &str) {
    if !comment.is_empty() {
        line(text, &format!("\n{comment}"));
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
