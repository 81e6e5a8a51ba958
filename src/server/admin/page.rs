//! The status page: one screen that answers "is it well, and if not, why" without scrolling, scripts or further requests.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::figures::{counted, span};
use super::findings::Level;
use super::readiness::Phase;
use super::status::{CallCounts, Status};
use crate::telemetry::budget::Budget;
use crate::telemetry::errors::Counted;
use crate::telemetry::view::{self, BreakerState};

/// Most kinds of errors that the page shows; the JSON has all.
const ERRORS: usize = 20;

const STYLE: &str = include_str!("page.css");

/// Writes the page.
pub fn render(status: &Status) -> String {
    let mut page = String::with_capacity(16 << 10);
    write(status, &mut page).expect("writing to a string does not fail");
    page
}

fn write(status: &Status, to: &mut String) -> fmt::Result {
    let (class, word) = match (status.findings.first(), status.phase) {
        (_, Phase::Starting) => ("warning", "starting"),
        (_, Phase::Draining) => ("warning", "draining"),
        (None, _) => ("well", "all is well"),
        (Some(first), _) if first.level == Level::Problem => ("problem", "needs attention"),
        (Some(_), _) => ("warning", "worth a look"),
    };
    write!(
        to,
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <meta name=viewport content=\"width=device-width\"><title>{word} · zendesk-gateway</title><style>{STYLE}</style>\
         <header class={class}><h1>zendesk-gateway <small>{}</small></h1><b>{word}</b>\
         <p>up {} · upstream {}</p></header><main>",
        status.version,
        span(Duration::from_secs(status.uptime_seconds)),
        escaped(&status.upstream),
    )?;
    if !status.findings.is_empty() {
        to.push_str("<ul class=findings>");
        for finding in &status.findings {
            let class = if finding.level == Level::Problem { "problem" } else { "warning" };
            let since = span(Duration::from_secs(finding.since_seconds));
            let (text, next) = (escaped(&finding.text), escaped(finding.next));
            write!(to, "<li class={class}>{text} <b>Do:</b> {next}. <small>for {since}</small>")?;
        }
        to.push_str("</ul>");
    }
    to.push_str("<div class=cards>");
    budget(status, to)?;
    calls(status, to)?;
    cache(status, to)?;
    queue(status, to)?;
    breakers(&status.breakers, to)?;
    credential(status, to)?;
    fleet(status.fleet.as_ref(), to)?;
    to.push_str("</div>");
    slowest(status, to)?;
    errors(&status.errors, to)?;
    to.push_str("<details><summary>Settings</summary><table>");
    for (key, value) in &status.settings {
        write!(to, "<tr><td><code>{}</code><td>{}", escaped(key), escaped(value))?;
    }
    to.push_str("</table></details><footer>Reloads every 5 s · <a href=\"/status?format=json\">JSON</a> · ");
    to.push_str("<a href=\"/metrics\">metrics</a></footer></main></html>");
    Ok(())
}

fn budget(status: &Status, to: &mut String) -> fmt::Result {
    to.push_str("<section><h2>Request budget</h2>");
    let Some((account, buckets)) = status.budgets.split_first() else {
        return write!(to, "<p class=big>—<p>Zendesk has not stated it yet.</section>");
    };
    let short = account.remaining * 10 < account.limit;
    write!(
        to,
        "<p class=\"big{}\">{} <small>of {} left</small>{}<p>{}, stated {} ago",
        if short { " problem" } else { "" },
        number(account.remaining.into()),
        number(account.limit.into()),
        bar(account.remaining.into(), account.limit.into(), short),
        reset(account),
        span(Duration::from_secs(account.stated_seconds_ago)),
    )?;
    for bucket in buckets {
        write!(to, "<p>{}: {} of {}, {}", escaped(&bucket.name), bucket.remaining, bucket.limit, reset(bucket))?;
    }
    if let Some(governor) = &status.governor {
        write!(
            to,
            "<p>{} waiting · {} refused · {} × 429",
            number(governor.waiting),
            number(governor.refused),
            number(governor.throttled)
        )?;
    }
    to.push_str("</section>");
    Ok(())
}

fn fleet(fleet: Option<&view::Fleet>, to: &mut String) -> fmt::Result {
    let Some(view::Fleet { leader, course, election, .. }) = fleet else { return Ok(()) };
    write!(to, "<section><h2>Fleet</h2><p class=big>{}", escaped(&course.replace('_', " ")))?;
    if let Some(leader) = leader {
        write!(to, "<p>leader at {}", escaped(leader))?;
    }
    if let Some(election) = election {
        write!(to, "<p>term {} · Lease {}", election.term, election.lease)?;
        if let Some(took) = election.handed_over_in {
            write!(to, " · handed over in {:.1} s", took.as_secs_f64())?;
        }
    }
    to.push_str("</section>");
    Ok(())
}

fn reset(budget: &Budget) -> String {
    match budget.reset_in {
        Some(reset) if !reset.is_zero() => format!("new in {}", span(reset)),
        Some(_) => "renewed since".to_owned(),
        None => "reset not stated".to_owned(),
    }
}

fn calls(status: &Status, to: &mut String) -> fmt::Result {
    let alarming = |count: u64| {
        let class = if count > 0 { "problem" } else { "quiet" };
        format!("<td class={class}>{}", number(count))
    };
    let row = |name: &str, counts: &CallCounts| {
        let (now, ended) = (number(counts.active), number(counts.ended));
        format!("<tr><td>{name}<td>{now}<td>{ended}{}{}", alarming(counts.throttled), alarming(counts.failed))
    };
    write!(
        to,
        "<section><h2>Calls</h2><p class=big>{} <small>under way</small>\
         <table><tr><th><th>now<th>ended<th>no budget<th>failed{}{}</table>",
        number(status.calls.active + status.streams.active),
        row("unary", &status.calls),
        row("streams", &status.streams)
    )?;
    if let Some(connections) = &status.connections {
        write!(to, "<p>{}", counted(connections.active, "connection", "connections"))?;
    }
    if let Some(jobs) = &status.jobs {
        write!(to, "<p>{} not ended yet", counted(jobs.active, "bulk job", "bulk jobs"))?;
        write!(to, " · {} for one", counted(jobs.waiting, "call waits", "calls wait"))?;
    }
    to.push_str("</section>");
    Ok(())
}

fn cache(status: &Status, to: &mut String) -> fmt::Result {
    let Some(cache) = &status.cache else { return Ok(()) };
    let ratio = status.cache_hit_ratio.map_or("—".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
    write!(
        to,
        "<section><h2>Cache</h2><p class=big>{ratio} <small>hits</small>{}<p>{} answers, {} of {}\
         <p>{} under way · {} stale served</section>",
        bar(cache.bytes, cache.max_bytes, false),
        number(cache.entries),
        bytes(cache.bytes),
        bytes(cache.max_bytes),
        counted(cache.flights_in_progress, "flight", "flights"),
        number(cache.stale)
    )
}

fn queue(status: &Status, to: &mut String) -> fmt::Result {
    let Some(queue) = &status.queue else { return Ok(()) };
    let full = queue.in_use >= queue.permits;
    write!(
        to,
        "<section><h2>Upstream queue</h2><p class=big>{} <small>of {} in use</small>{}\
         <p>{} waiting · {} refused",
        number(queue.in_use),
        number(queue.permits),
        bar(queue.in_use, queue.permits, full),
        number(queue.waiting),
        number(queue.refused_full + queue.refused_too_late)
    )?;
    if let Some(connections) = &status.upstream_connections {
        let view::UpstreamConnections { http2_open, opened, failed, http2_oldest_seconds, http2_ended, .. } =
            connections;
        if *http2_open > 0 {
            let oldest = span(Duration::from_secs_f64(*http2_oldest_seconds));
            write!(
                to,
                "<p>{} in use, up to {oldest} old",
                counted(*http2_open, "HTTP/2 connection", "HTTP/2 connections")
            )?;
        }
        write!(to, "<p>{} opened · {} failed", counted(*opened, "connection", "connections"), number(*failed))?;
        for (why, ended) in http2_ended.iter().filter(|(_, ended)| **ended > 0) {
            write!(to, " · {} {}", number(*ended), why.replace('_', " "))?;
        }
    }
    to.push_str("</section>");
    Ok(())
}

fn breakers(breakers: &[view::Breaker], to: &mut String) -> fmt::Result {
    if breakers.is_empty() {
        return Ok(());
    }
    let (closed, others): (Vec<_>, Vec<_>) = breakers.iter().partition(|breaker| breaker.state == BreakerState::Closed);
    to.push_str("<section><h2>Circuits</h2>");
    if others.is_empty() {
        write!(to, "<p class=big>all closed <small>of {}</small>", closed.len())?;
    } else {
        write!(to, "<p class=\"big problem\">{} of {} not closed", others.len(), breakers.len())?;
    }
    for breaker in others {
        let class = if breaker.state == BreakerState::Open { "problem" } else { "warning" };
        let state = breaker.state.as_str().replace('_', " ");
        write!(to, "<p><b class={class}>{} {state}</b>", breaker.class)?;
        if let Some(wait) = breaker.probe_in {
            write!(to, ", probes in {}", span(wait))?;
        }
        write!(to, " · {} calls refused", number(breaker.refused))?;
    }
    write!(to, "<p>opened {} times since the start</section>", breakers.iter().map(|one| one.opened).sum::<u64>())
}

fn credential(status: &Status, to: &mut String) -> fmt::Result {
    let Some(credential) = &status.credential else { return Ok(()) };
    let left =
        credential.expires.map(|expires| expires.duration_since(std::time::SystemTime::now()).unwrap_or_default());
    write!(
        to,
        "<section><h2>Credential</h2><p class=big>{}<p>{}</section>",
        escaped(&credential.kind.replace('_', " ")),
        match (credential.expires, left) {
            (Some(expires), Some(left)) =>
                format!("ends {} (in {})", &humantime::format_rfc3339_seconds(expires).to_string()[..10], span(left)),
            _ => "no known end".to_owned(),
        }
    )
}

fn slowest(status: &Status, to: &mut String) -> fmt::Result {
    to.push_str("<h2>Slowest upstream calls of the last 10 minutes</h2>");
    if status.slowest.is_empty() {
        to.push_str("<p>None yet.");
        return Ok(());
    }
    to.push_str("<table><tr><th>class<th>endpoint<th>took<th>outcome<th>ended<th>trace");
    for exchange in &status.slowest {
        let ended =
            exchange.ended.map(|ended| humantime::format_rfc3339_seconds(ended).to_string()).unwrap_or_default();
        // A 4xx is a mistake of the caller, not a failure of Zendesk, except 429.
        let failed = !exchange.outcome.starts_with(['2', '4']) || exchange.outcome == "429";
        write!(
            to,
            "<tr><td>{}<td>{}<td class=number>{} ms<td class={}>{}<td>{}<td><code>{}</code>",
            exchange.class,
            escaped(&exchange.endpoint),
            number(exchange.milliseconds),
            if failed { "problem" } else { "quiet" },
            escaped(&exchange.outcome),
            ended.get(11..19).unwrap_or_default(),
            exchange.trace_id
        )?;
    }
    to.push_str("</table>");
    Ok(())
}

fn errors(errors: &[Counted], to: &mut String) -> fmt::Result {
    to.push_str("<h2>Errors since the start, the most recent first</h2>");
    if errors.is_empty() {
        to.push_str("<p>None yet.");
        return Ok(());
    }
    to.push_str("<table><tr><th>reason<th>status<th>method<th>calls<th>last");
    for error in errors.iter().take(ERRORS) {
        let last = error.last.map(|last| humantime::format_rfc3339_seconds(last).to_string()).unwrap_or_default();
        let method = error.kind.method.rsplit('.').next().unwrap_or(error.kind.method);
        let (reason, code) = (error.kind.reason, error.kind.code);
        write!(to, "<tr><td>{reason}<td>{code}<td>{method}<td class=number>{}<td>{last}", number(error.count))?;
    }
    to.push_str("</table>");
    Ok(())
}

fn bar(value: u64, of: u64, alarming: bool) -> String {
    let percent = (value.min(of) * 100).checked_div(of).unwrap_or_default();
    let class = if alarming { " class=problem" } else { "" };
    format!("<div class=bar><i{class} style=\"width:{percent}%\"></i></div>")
}

/// Writes a number with thin spaces between its thousands.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{} B", number(bytes)),
        10_240..10_485_760 => format!("{} KiB", number(bytes >> 10)),
        _ => format!("{} MiB", number(bytes >> 20)),
    }
}

/// Makes a text safe inside an element or a quoted attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_markup_is_text() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(escaped("<b title=\"&\">"), "&lt;b title=&quot;&amp;&quot;&gt;");
    }
}
