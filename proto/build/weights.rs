//! The shape of each message that a request can hold, for `contract.rs`: by it the size of a message in memory is known before it
//! is decoded.

use std::collections::BTreeSet;

use prost_reflect::{Cardinality, DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};

use crate::descriptor::methods;

/// Returns the name of the constant that describes a message's shape.
pub fn shape_name(message: &MessageDescriptor) -> String {
    format!("SHAPE_{}", message.full_name().replace('.', "_").to_uppercase())
}

/// Writes the shapes.
pub fn shapes(pool: &DescriptorPool) -> String {
    let mut code = String::new();
    let mut queue: Vec<MessageDescriptor> = methods(pool).iter().map(MethodDescriptor::input).collect();
    let mut seen = BTreeSet::new();
    while let Some(message) = queue.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        let size = match message.full_name() {
            // An entry of a map with its share of the map's nodes.
            _ if message.is_map_entry() => "96".to_owned(),
            name if name.starts_with("google.protobuf.") => {
                format!("size_of::<prost_types::{}>()", message.name())
            }
            _ => format!("size_of::<crate::proto::{}>()", message.name()),
        };
        let mut fields = Vec::new();
        for field in message.fields() {
            let repeated = field.cardinality() == Cardinality::Repeated;
            let part = match field.kind() {
                Kind::Message(inner) => {
                    let part = format!("Part::Message(&{})", shape_name(&inner));
                    queue.push(inner);
                    part
                }
                Kind::String | Kind::Bytes if repeated => "Part::Texts".to_owned(),
                Kind::String => "Part::Text".to_owned(),
                Kind::Bytes => "Part::Bytes".to_owned(),
                _ if repeated => "Part::Numbers".to_owned(),
                _ => continue,
            };
            fields.push(format!("({}, {repeated}, {part})", field.number()));
        }
        let fields = fields.join(", ");
        let is_object = !message.is_map_entry() && !message.full_name().starts_with("google.protobuf.");
        let name = shape_name(&message);
        line!(code, "static {name}: Shape = Shape {{ size: {size}, is_object: {is_object}, fields: &[{fields}] }};");
    }
    code
}
