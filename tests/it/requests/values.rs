//! Requests with a value in every field, made from the descriptors, so that no field of the contract is left out.

use prost_reflect::MessageDescriptor;

/// Whether a message is of the contract, not one of protobuf's own.
pub fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name() == "zendesk.gateway.v1"
}
