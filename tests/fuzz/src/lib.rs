//! The targets of fuzzing, which are those of the gateway's own tests.

#[path = "../../it/fuzz/answers.rs"]
pub mod answers;
#[path = "../../it/fuzz/files.rs"]
pub mod files;
#[path = "../../it/fuzz/headers.rs"]
pub mod headers;
#[path = "../../it/fuzz/identity.rs"]
pub mod identity;
#[path = "../../it/fuzz/pages.rs"]
pub mod pages;
#[path = "../../it/fuzz/requests.rs"]
pub mod requests;
#[path = "../../it/fuzz/rpcs.rs"]
pub mod rpcs;
#[path = "../../it/fuzz/targets.rs"]
pub mod targets;
#[path = "../../it/fuzz/wire.rs"]
pub mod wire;
