//! The macro `contract_types!` for `contract.rs`: the contract's types by what they are. Code that is the same for each of them is a
//! macro that takes this list, so that a new one is in it by itself.

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;

use crate::descriptor::{lists, methods, row};
use crate::handlers::{Handler, handler};

/// Writes the macro.
pub fn types(pool: &DescriptorPool) -> String {
    let methods = methods(pool);
    let of = |wanted: Handler| {
        let requests = methods.iter().filter(|method| handler(method) == wanted);
        requests.map(|method| method.input().name().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let rows: BTreeSet<String> =
        methods.iter().filter(|method| lists(method)).map(|method| row(method).name().to_owned()).collect();
    let mut code =
        "/// Calls a macro with the contract's types of one kind: the rows of lists, or requests by the handler of \
         their RPC.\n#[macro_export]\nmacro_rules! contract_types {\n"
            .to_owned();
    for (kind, types) in [
        ("rows", rows.into_iter().collect::<Vec<_>>().join(" ")),
        ("reads", of(Handler::Read)),
        ("lists", of(Handler::List)),
        ("writes", of(Handler::Write)),
    ] {
        line!(code, "    ({kind}, $callback:ident) => {{ $callback! {{ {types} }} }};");
    }
    code.push_str("}\n");
    code
}
