//! Tools that a machine may lack.

use std::process::{Command, Stdio};

/// Returns whether a tool is installed. If it is not, fails the test in CI; elsewhere prints that what needs it is skipped.
pub fn is_installed(tool: &str, mut probe: Command) -> bool {
    let works = probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(works || std::env::var_os("CI").is_none(), "{tool} is missing, and CI must have it");
    if !works {
        eprintln!("SKIPPED: {tool} is not installed; what needs it was not checked");
    }
    works
}

/// Returns the Python interpreter: `$PYTHON`, else python3.
pub fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
}
