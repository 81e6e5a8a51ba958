//! What was scraped, as the series that promtool takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::observed::scrape;

/// The time between two samples that promtool is given.
pub const STEP: Duration = Duration::from_secs(15);
/// How many of them are of a gateway that is well, that fails, and that was mended.
pub const HEALTHY: usize = 40 * 4;
pub const FAILS: usize = 100 * 4;
pub const MENDED: usize = 100 * 4;
/// How many scrapes at the end of a time stand for all of it.
const STEADY: usize = 20;

/// The values of each series, by second, in each of the three times.
pub type Scraped = [Vec<BTreeMap<String, f64>>; 3];

/// The names of metrics in the rules.
pub fn names(rules: &str) -> BTreeSet<String> {
    let words = rules.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == ':'));
    words.filter(|word| word.contains('_') && !word.contains(':')).map(str::to_owned).collect()
}

/// The values of a scrape, each under its series as promtool writes it.
pub fn values(text: &str, job: &str) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    for (name, labels, value) in scrape::read(text).into_values().flat_map(|family| family.samples) {
        let mut series = format!("{name}{{job=\"{job}\",namespace=\"lab\",instance=\"{job}-0\"");
        for (label, text) in labels {
            write!(series, ",{label}=\"{text}\"").expect("a text grows");
        }
        values.insert(series + "}", value);
    }
    values
}

/// The series of these names, over hours.
pub fn series(scraped: &Scraped, names: &BTreeSet<String>) -> Vec<Value> {
    let all: BTreeSet<&String> = scraped.iter().flatten().flat_map(BTreeMap::keys).collect();
    let wanted = all.into_iter().filter(|series| names.contains(series.split('{').next().unwrap_or_default()));
    wanted.map(|series| json!({"series": series, "values": over_hours(scraped, series)})).collect()
}

fn over_hours(scraped: &Scraped, series: &str) -> String {
    let name = series.split('{').next().unwrap_or_default();
    let counts = ["_total", "_count", "_bucket", "_sum"].iter().any(|end| name.ends_with(end))
        && name != "process_unix_file_descriptor_count";
    let mut text = String::new();
    let mut reached = None;
    for (seconds, steps) in scraped.iter().zip([HEALTHY, FAILS, MENDED]) {
        let steady: Vec<Option<f64>> =
            seconds[seconds.len().saturating_sub(STEADY)..].iter().map(|values| values.get(series).copied()).collect();
        let (first, last) = (steady.iter().flatten().next(), steady.iter().flatten().last());
        let Some((first, last)) = first.zip(last) else {
            write!(text, "_x{steps} ").expect("a text grows");
            continue;
        };
        if counts {
            // What a series shows first has been counted since the start of the process.
            let from: f64 = reached.unwrap_or(if steady.iter().all(Option::is_some) { *first } else { 0.0 });
            let seconds_between = f64::from(u32::try_from(steady.len() - 1).expect("few"));
            let grows = (last - first) / seconds_between * STEP.as_secs_f64();
            write!(text, "{from}+{grows}x{} ", steps - 1).expect("a text grows");
            reached = Some(grows.mul_add(f64::from(u32::try_from(steps).expect("few")), from));
        } else {
            for value in steady.iter().cycle().take(steps) {
                match value {
                    Some(value) => write!(text, "{value} ").expect("a text grows"),
                    None => text.push_str("_ "),
                }
            }
        }
    }
    text.trim_end().to_owned()
}
