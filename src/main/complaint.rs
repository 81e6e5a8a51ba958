//! Why the process ends before it serves, in the form that whoever collects the log expects.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde_json::json;
use zendesk_gateway::config::LogFormat;

/// How it is said; unset for people.
static FORM: OnceLock<LogFormat> = OnceLock::new();

/// Has it said as the log is.
pub fn in_form(form: LogFormat) {
    FORM.set(form).ok();
}

/// Says it, and waits a second at most for whoever reads it.
pub fn write(error: &str) {
    let text = match FORM.get().copied().unwrap_or_default() {
        LogFormat::Pretty => format!("Error: {error}\n"),
        LogFormat::Json => {
            let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
            let message = "cannot serve";
            let line = json!({"timestamp": timestamp, "level": "ERROR", "target": "start", "message": message, "error": error});
            format!("{line}\n")
        }
    };
    let (done, written) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        std::io::stderr().write_all(text.as_bytes()).ok();
        done.send(()).ok();
    });
    written.recv_timeout(Duration::from_secs(1)).ok();
}
