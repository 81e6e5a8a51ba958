//! Collects what Zendesk ignored in the requests of one call, as one text for its caller.
//!
//! The text goes into metadata, which is ASCII. Other characters, and `%`, are percent-encoded, as in `grpc-message`.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What metadata cannot hold as it is, beside characters outside ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Longest text in bytes. gRPC clients take 8 KiB of metadata in all unless they are told otherwise.
pub const LONGEST_TEXT: usize = 4096;
/// Longest text beside an error, whose status has six of these 8 KiB.
pub const LONGEST_BESIDE_ERROR: usize = 1024;
/// Room to say how many warnings are left out.
const LEFT_OUT: usize = 64;
/// The end of a warning that was cut.
const CUT: &str = "... (cut)";

/// The warnings of several requests, each told once, in the order in which they came.
#[derive(Debug, Default)]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// Adds the warning of one more request.
    pub fn add(&mut self, warning: &str) {
        if !self.0.iter().any(|known| known == warning) {
            self.0.push(warning.to_owned());
        }
    }

    /// Returns the warnings as Zendesk wrote them.
    pub fn all(&self) -> Vec<String> {
        self.0.clone()
    }

    /// Returns all warnings with `; ` between them, in at most `longest` bytes. Warnings that do not fit are counted at the end,
    /// and one that is too long by itself is cut.
    pub fn text(&self, longest: usize) -> Option<String> {
        let encoded: Vec<_> = self.0.iter().map(|warning| utf8_percent_encode(warning, ENCODED).to_string()).collect();
        let (first, others) = encoded.split_first()?;
        let mut text = first.clone();
        if text.len() > longest - LEFT_OUT {
            text.truncate(text.floor_char_boundary(longest - LEFT_OUT - CUT.len()));
            text.push_str(CUT);
        }
        for (told, warning) in others.iter().enumerate() {
            let left_out = |count: usize| format!("; and {count} more that do not fit here");
            // Room for the note on what is left out must remain.
            if text.len() + "; ".len() + warning.len() + left_out(others.len()).len() > longest {
                text.push_str(&left_out(others.len() - told));
                break;
            }
            text.push_str("; ");
            text.push_str(warning);
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(warnings: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let mut all = Warnings::default();
        warnings.into_iter().for_each(|warning| all.add(warning));
        all.text(LONGEST_TEXT)
    }

    #[test]
    fn what_is_not_ascii_is_percent_encoded() {
        assert_eq!(told(["Schlüssel: 5%"]).as_deref(), Some("Schl%C3%BCssel: 5%25"));
    }

    #[test]
    fn each_warning_is_told_once_in_the_order_of_the_requests() {
        assert_eq!(told([]), None);
        assert_eq!(told(["b", "a", "b"]).as_deref(), Some("b; a"));
    }

    #[test]
    fn warnings_that_do_not_fit_are_counted() {
        let warnings: Vec<String> = (0..200).map(|number| format!("{number:03}{}", "x".repeat(509))).collect();
        let first = |count: usize| told(warnings[..count].iter().map(String::as_str));
        let text = first(200).expect("some");
        assert!(text.len() <= LONGEST_TEXT, "{}", text.len());
        let fit = text.matches("xx; ").count();
        assert!(fit >= 6 && text.ends_with(&format!("; and {} more that do not fit here", 200 - fit)), "{text}");
        let all = first(7).expect("some");
        assert!(!all.contains("more that") && all.contains("006x"), "seven fit");
    }

    #[test]
    fn a_warning_that_is_too_long_by_itself_is_cut() {
        let long = "é".repeat(5_000);
        let alone = told([long.as_str()]).expect("one");
        assert!(alone.len() <= LONGEST_TEXT && alone.ends_with("... (cut)"), "{}", alone.len());
        let both = told([long.as_str(), "x".repeat(64).as_str()]).expect("two");
        assert!(
            both.len() <= LONGEST_TEXT && both.ends_with("... (cut); and 1 more that do not fit here"),
            "{}",
            both.len()
        );
    }
}
