//! The target whose name is in the variable `FUZZ_TARGET`. One binary for all, because each of them takes as long to link as
//! the whole gateway. The target's examples are written into the folder that `FUZZ_EXAMPLES` names, to begin with.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use zendesk_gateway_fuzz::targets::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names = || TARGETS.iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join(" ");
    let found = TARGETS.iter().find(|(name, _, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET must be one of: {}", names()))
});

fn write_examples() {
    let Some(folder) = std::env::var_os("FUZZ_EXAMPLES").map(PathBuf::from) else { return };
    for (number, example) in TARGET.2.iter().enumerate() {
        std::fs::write(folder.join(format!("example-{number}")), example).expect("FUZZ_EXAMPLES is a folder");
    }
}

fuzz_target!(init: write_examples(), |data: &[u8]| (TARGET.1)(data));
