//! What was called, what was answered, what was wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tonic::Code;

use super::clock::now;

/// How many violations of one kind are told in full.
const TOLD: usize = 5;

#[derive(Default)]
pub struct Tally {
    calls: BTreeMap<(&'static str, String), u64>,
    /// How long the calls of each RPC took in all, in nanoseconds.
    took: BTreeMap<&'static str, u64>,
    pub judged: u64,
    pub rows: u64,
    pub by_cache: BTreeMap<String, u64>,
    wrong: BTreeMap<&'static str, (u64, Vec<String>)>,
}

impl Tally {
    pub fn call(&mut self, rpc: &'static str, code: Option<Code>, begun: u64) {
        *self.took.entry(rpc).or_default() += now() - begun;
        let code = code.map_or("left".to_owned(), |code| format!("{code:?}"));
        *self.calls.entry((rpc, code)).or_default() += 1;
    }

    /// Notes a violation.
    pub fn wrong(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        let (count, told) = self.wrong.entry(kind).or_default();
        *count += 1;
        if told.len() < TOLD {
            told.push(text());
        }
    }

    pub fn calls(&self) -> u64 {
        self.calls.values().sum()
    }

    pub fn violations(&self) -> u64 {
        self.wrong.values().map(|(count, _)| count).sum()
    }

    pub fn told(&self) -> String {
        let mut text = String::new();
        let mut rpcs: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
        for ((rpc, code), count) in &self.calls {
            let (calls, codes) = rpcs.entry(rpc).or_default();
            *calls += count;
            codes.push(format!("{code} {count}"));
        }
        for (rpc, (calls, codes)) in rpcs {
            let mean = self.took[rpc] / calls / 1_000;
            writeln!(text, "  {rpc}: {}; {mean} µs each", codes.join(", ")).expect("a string grows");
        }
        writeln!(text, "  answers by x-cache: {:?}", self.by_cache).expect("a string grows");
        for (kind, (count, told)) in &self.wrong {
            writeln!(text, "VIOLATIONS: {count} times {kind}").expect("a string grows");
            for one in told {
                writeln!(text, "  {one}").expect("a string grows");
            }
        }
        text
    }
}
