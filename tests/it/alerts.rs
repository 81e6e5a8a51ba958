//! The alert lab: one gateway for each way of failing that operators must hear of, and one that is well.
//!
//! Each is a process of its own that callers use, first while all is well, then while it fails, and then after the mend. Its metrics are
//! scraped each second. promtool then judges the rules over hours: it is given what was scraped in the last seconds of each of the three
//! times, going on at the same pace. Nothing else is made up.
//!
//! It takes two minutes of the machine, so it runs by `ALERT_LAB=1 cargo test --test it alerts -- --include-ignored --nocapture`, as a step of its own in CI.
//! With `ALERT_LAB=FOLDER` it also keeps each status page and scrape of a gateway that fails as files.

mod series;
mod situations;
mod subject;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::series::{FAILS, HEALTHY, MENDED, STEP};
use self::situations::{Expected, situations};
use self::subject::{Subject, Watched};
use crate::support::tools::is_installed;

/// How long each is watched: while all is well, while it fails, and after the mend. The last seconds of it stand for hours, so they begin
/// once the finding must be gone.
const TIMES: [Duration; 3] = [Duration::from_secs(12), Duration::from_secs(45), Duration::from_secs(85)];
/// A finding is on the status page so soon after the failure begins.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// It is gone so soon after the mend.
const GONE_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_raises_its_own_alert_and_no_other() {
    let Some(pages) = std::env::var_os("ALERT_LAB") else {
        eprintln!("SKIPPED: ALERT_LAB is not set; whether each failure raises its own alert was not checked");
        return;
    };
    let mut probe = Command::new("promtool");
    probe.arg("--version");
    if !is_installed("promtool (Debian package prometheus)", probe) {
        return;
    }
    let pages = Path::new(&pages).is_dir().then(|| Path::new(&pages).to_owned());
    let mut lab = Vec::new();
    for situation in situations().await {
        lab.push(situation);
    }
    let watching = lab.into_iter().map(|subject| tokio::spawn(watch(subject, pages.clone())));
    let mut watched = Vec::new();
    for one in watching.collect::<Vec<_>>() {
        watched.push(one.await.expect("no panic"));
    }
    for one in &watched {
        println!("{one}");
    }
    let wrong: Vec<String> = watched.iter().flat_map(|one| one.complaints(FOUND_WITHIN, GONE_WITHIN)).collect();
    let judged = tokio::task::spawn_blocking(move || judge(&watched)).await.expect("no panic");
    assert!(judged.is_ok() && wrong.is_empty(), "{}\n{}", wrong.join("\n"), judged.err().unwrap_or_default());
}

/// Watches one gateway through the three times.
async fn watch(mut subject: Subject, pages: Option<std::path::PathBuf>) -> Watched {
    let mut watched = Watched::new(subject.expected.clone());
    for (time, length) in TIMES.into_iter().enumerate() {
        match time {
            1 => subject.fail(),
            2 => {
                if let Some(folder) = &pages {
                    let page = subject.page().await;
                    let metrics = subject.metrics().await;
                    for (kind, text) in [("html", page), ("prom", metrics)] {
                        std::fs::write(folder.join(format!("{}.{kind}", subject.expected.name)), text)
                            .expect("written");
                    }
                }
                subject.mend();
            }
            _ => {}
        }
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        while begun.elapsed() < length {
            ticks.tick().await;
            watched.add(time, begun.elapsed(), subject.scrape().await, &subject.status().await);
        }
    }
    watched
}

/// Lets promtool judge the rules; says what it finds wrong.
fn judge(watched: &[Watched]) -> Result<(), String> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/rules/zendesk-gateway.yaml");
    let names = series::names(&std::fs::read_to_string(&rules).expect("the rules"));
    let input: Vec<Value> = watched.iter().flat_map(|one| one.series(&names)).collect();
    let at = |steps: usize| format!("{}s", STEP.as_secs() * steps as u64);
    let firing = r#"max by (job, alertname) (ALERTS{alertstate="firing"})"#;
    let sample =
        |alert: &str, job: &str| json!({"labels": format!("{{alertname=\"{alert}\",job=\"{job}\"}}"), "value": 1});
    let all: Vec<(&str, &str)> = watched.iter().flat_map(|one| one.expected.alerts()).collect();
    let mut tests = vec![
        json!({"expr": firing, "eval_time": at(HEALTHY - 1), "exp_samples": []}),
        json!({
            "expr": firing,
            "eval_time": at(HEALTHY + FAILS - 1),
            "exp_samples": all.iter().map(|(job, alert)| sample(alert, job)).collect::<Vec<_>>(),
        }),
        json!({"expr": firing, "eval_time": at(HEALTHY + FAILS + MENDED - 1), "exp_samples": []}),
    ];
    for Expected { name, alert, within, .. } in watched.iter().map(|one| &one.expected) {
        if let Some(alert) = alert {
            let in_time =
                format!(r#"max by (job, alertname) (ALERTS{{alertstate="firing",job="{name}",alertname="{alert}"}})"#);
            let steps = HEALTHY + usize::try_from(within.as_secs() / STEP.as_secs()).expect("minutes");
            tests.push(json!({"expr": in_time, "eval_time": at(steps), "exp_samples": [sample(alert, name)]}));
        }
    }
    let known: BTreeSet<&str> = all.iter().map(|(_, alert)| *alert).collect();
    assert!(known.len() >= 12, "each failure has an alert of its own: {known:?}");
    let test = json!({
        "rule_files": [rules],
        "evaluation_interval": "30s",
        "tests": [{"interval": format!("{}s", STEP.as_secs()), "input_series": input, "promql_expr_test": tests}],
    });
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    serde_json::to_writer(&file, &test).expect("written");
    let output = Command::new("promtool").args(["test", "rules"]).arg(file.path()).output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said) }
}
