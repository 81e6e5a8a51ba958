//! What Zendesk ignored of the requests of one call, as one text for its caller.

/// Longest text in bytes. gRPC clients take 8 KiB of metadata in all unless they are told otherwise.
const LONGEST: usize = 4096;

/// The warnings of several requests, each told once, in the order in which they came.
#[derive(Debug, Default)]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// Adds the warning of one more request, if it has one.
    pub fn add(&mut self, warning: Option<String>) {
        self.0.extend(warning.filter(|text| !self.0.contains(text)));
    }

    /// Returns all warnings with `; ` between them, at most 4 KiB. Warnings that do not fit are counted at the end.
    pub fn text(&self) -> Option<String> {
        let (first, others) = self.0.split_first()?;
        let mut text = first.clone();
        for (told, warning) in others.iter().enumerate() {
            let left_out = |count: usize| format!("; and {count} more that do not fit here");
            // The note on what is left out must fit behind whatever is told.
            if text.len() + "; ".len() + warning.len() + left_out(others.len()).len() > LONGEST {
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

    fn told(warnings: impl IntoIterator<Item = Option<String>>) -> Option<String> {
        let mut all = Warnings::default();
        warnings.into_iter().for_each(|warning| all.add(warning));
        all.text()
    }

    #[test]
    fn each_warning_is_told_once_in_the_order_of_the_requests() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told([]), None);
        assert_eq!(told([None, None]), None);
        assert_eq!(told([None, some("b"), None, some("a"), some("b")]).as_deref(), Some("b; a"));
    }

    #[test]
    fn warnings_that_do_not_fit_are_counted() {
        let warning = |number: usize| Some(format!("{number:03}{}", "x".repeat(509)));
        let text = told((0..200).map(warning)).expect("some");
        assert!(text.len() <= LONGEST, "{}", text.len());
        let fit = text.matches("xx; ").count();
        assert!(fit >= 6 && text.ends_with(&format!("; and {} more that do not fit here", 200 - fit)), "{text}");
        let all = told((0..7).map(warning)).expect("some");
        assert!(!all.contains("more that") && all.contains("006x"), "seven fit");
    }
}
