//! Turns `proto/` into Rust, so that no fact of the contract is written twice: messages and services, their mapping to JSON, the
//! table of RPCs and their handlers. No system `protoc` is needed. What each module of `proto/build/` writes stands at its top.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost_reflect::DescriptorPool;

/// Adds a line of code.
macro_rules! line {
    ($code:expr, $($text:tt)*) => {
        std::fmt::Write::write_fmt(&mut $code, format_args!("{}\n", format_args!($($text)*)))
            .expect("writing to a string does not fail")
    };
}

#[path = "proto/build/descriptor.rs"]
mod descriptor;
#[path = "proto/build/endpoints.rs"]
mod endpoints;
#[path = "proto/build/handlers.rs"]
mod handlers;
#[path = "proto/build/impls.rs"]
mod impls;
#[path = "proto/build/json.rs"]
mod json;
#[path = "proto/build/lists.rs"]
mod lists;
#[path = "proto/build/rows.rs"]
mod rows;
#[path = "proto/build/rpcs.rs"]
mod rpcs;
#[path = "proto/build/services.rs"]
mod services;
#[path = "proto/build/types.rs"]
mod types;
#[path = "proto/build/weights.rs"]
mod weights;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> = fs::read_dir("proto/zendesk/gateway/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // The encoded form keeps our custom options; the decoded one would drop them.
    let encoded = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), &encoded)?;
    let pool = DescriptorPool::decode(encoded.as_slice())?;

    let mut config = prost_build::Config::new();
    config.service_generator(Box::new(services::Services));
    config.bytes([".zendesk.gateway.v1.UploadUserPhotoRequest"]);
    json::derive(&pool, &mut config);
    config.compile_fds(compiler.file_descriptor_set())?;

    let contract = [
        endpoints::table(&pool),
        rpcs::table(&pool),
        weights::shapes(&pool),
        impls::impls(&pool),
        types::types(&pool),
        json::free_form(&pool),
    ];
    fs::write(out.join("contract.rs"), contract.concat())?;
    fs::write(out.join("rows.rs"), rows::impls(&pool))?;
    fs::write(out.join("lists.rs"), lists::blocks(&pool))?;
    fs::write(out.join("endpoint_of.rs"), endpoints::endpoint_of(&pool))?;
    fs::write(out.join("handlers.rs"), handlers::handlers(&pool))?;
    Ok(())
}
