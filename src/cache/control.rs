//! How a caller steers the cache: the request metadata `cache-control`, with the words of RFC 9111. One of them means more than
//! there: `max-age` also accepts older answers than the policy does, as `max-stale` would.

use std::time::Duration;

use http::header::CACHE_CONTROL;
use tonic::metadata::MetadataMap;

use crate::error::{Error, Result};

/// What the caller accepts. The default accepts what the policy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Control {
    /// `no-cache`: asks Zendesk now; the answer is stored all the same.
    pub no_cache: bool,
    /// `max-age=N`: accepts an answer up to this age, instead of what the policy says.
    pub max_age: Option<Duration>,
    /// `only-if-cached`: does not ask Zendesk.
    pub only_if_cached: bool,
}

impl Control {
    /// Reads the metadata. Other directives are ignored, as RFC 9111 demands of unknown ones; answers are stored despite
    /// `no-store`, for others.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the metadata is not text or `max-age` is not a number of seconds.
    pub fn from_metadata(metadata: &MetadataMap) -> Result<Self> {
        let mut control = Self::default();
        for value in metadata.as_ref().get_all(CACHE_CONTROL) {
            let text = value.to_str().map_err(|_| Error::invalid("cache-control", "must be ASCII text"))?;
            control.read(text)?;
        }
        Ok(control)
    }

    fn read(&mut self, text: &str) -> Result<()> {
        for directive in text.split(',') {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name.trim(), Some(argument.trim())),
                None => (directive.trim(), None),
            };
            if name.eq_ignore_ascii_case("no-cache") {
                self.no_cache = true;
            } else if name.eq_ignore_ascii_case("only-if-cached") {
                self.only_if_cached = true;
            } else if name.eq_ignore_ascii_case("max-age") {
                let age = seconds(argument.unwrap_or_default())?;
                self.max_age = Some(self.max_age.map_or(age, |other| other.min(age)));
            }
        }
        Ok(())
    }
}

fn seconds(argument: &str) -> Result<Duration> {
    if argument.is_empty() || !argument.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid("cache-control", "must give max-age as a whole number of seconds"));
    }
    // Digits fail to parse only if there are too many; RFC 9111 wants such a number read as a very large one.
    Ok(Duration::from_secs(argument.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(values: &[&str]) -> Result<Control> {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("cache-control", value.parse().expect("test values are ASCII"));
        }
        Control::from_metadata(&metadata)
    }

    fn max_age(seconds: u64) -> Control {
        Control { max_age: Some(Duration::from_secs(seconds)), ..Control::default() }
    }

    #[test]
    fn directives_are_read_in_any_case_and_spacing_and_from_several_values() {
        assert_eq!(control(&[]).unwrap(), Control::default());
        assert_eq!(control(&["max-age=30"]).unwrap(), max_age(30));
        assert_eq!(control(&[" Max-Age = 0 ,, "]).unwrap(), max_age(0));
        let all = Control { no_cache: true, only_if_cached: true, ..max_age(5) };
        assert_eq!(control(&["no-cache, ONLY-IF-CACHED,max-age=5"]).unwrap(), all);
        assert_eq!(control(&["no-cache", "only-if-cached", "max-age=5"]).unwrap(), all);
    }

    #[test]
    fn the_strictest_of_several_ages_holds_and_a_huge_one_is_very_large() {
        assert_eq!(control(&["max-age=9, max-age=3, max-age=7"]).unwrap(), max_age(3));
        assert_eq!(control(&["max-age=99999999999999999999"]).unwrap(), max_age(u32::MAX.into()));
    }

    #[test]
    fn unknown_directives_are_ignored() {
        assert_eq!(control(&["no-transform, max-stale=3, min-fresh=x, stale-if-error"]).unwrap(), Control::default());
    }

    #[test]
    fn a_malformed_age_is_refused_by_name() {
        for text in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=ten", "max-age=\"5\"", "max-age=+5"] {
            let Err(Error::Invalid { field, .. }) = control(&[text]) else { panic!("{text} was accepted") };
            assert_eq!(field, "cache-control", "{text}");
        }
    }
}
