//! `[cache]`: what is kept, how much of it, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bytes::size;

/// `[cache]`: answers kept in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// `cache.max_bytes`: most memory for answers, counted with their keys and bookkeeping. 0 keeps none. Default 64 MiB.
    #[serde(deserialize_with = "size")]
    pub max_bytes: u64,
    /// `cache.not_found`: how long "no such record" is remembered. Default `10s`.
    #[serde(with = "super::span")]
    pub not_found: Duration,
    /// `cache.flight_deadline`: longest that one shared upstream read may take. Default `30s`.
    #[serde(with = "super::span")]
    pub flight_deadline: Duration,
    /// `cache.batch_wait`: longest that an id waits for the batch before its own to return. Default `500ms`.
    #[serde(with = "super::span")]
    pub batch_wait: Duration,
    /// `[cache.record]`: single records.
    pub record: Windows,
    /// `[cache.list]`: pages of lists.
    pub list: Windows,
    /// `[cache.count]`: counts.
    pub count: Windows,
    /// `[cache.search]`: searches and autocompletion.
    pub search: Windows,
    /// `[cache.related]`: what Zendesk derives for a record.
    pub related: Windows,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            not_found: Duration::from_secs(10),
            flight_deadline: Duration::from_secs(30),
            batch_wait: Duration::from_millis(500),
            record: Windows::default(),
            list: Windows::default(),
            count: Windows::default(),
            search: Windows::default(),
            related: Windows::default(),
        }
    }
}

/// Ages up to which answers of one kind are served; what is not set keeps the default of the kind.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Windows {
    /// `cache.<kind>.fresh`: age up to which an answer is served without asking Zendesk.
    #[serde(with = "super::span")]
    pub fresh: Option<Duration>,
    /// `cache.<kind>.stale_while_revalidate`: age up to which it is served, marked stale, while it is refreshed.
    #[serde(with = "super::span")]
    pub stale_while_revalidate: Option<Duration>,
    /// `cache.<kind>.stale_if_error`: age up to which it is served, marked stale, while Zendesk fails.
    #[serde(with = "super::span")]
    pub stale_if_error: Option<Duration>,
}

impl Cache {
    /// Returns the settings that must be more than 0, with whether they are 0.
    pub fn zeros(&self) -> [(&'static str, bool); 1] {
        [("cache.flight_deadline", self.flight_deadline.is_zero())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Mistakes, Overrides, load};
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let environment = settings.iter().map(|(key, value)| {
            (format!("ZENDESK_GATEWAY__CACHE__{}", key.to_uppercase().replace('.', "__")), (*value).to_owned())
        });
        load(None, Overrides { environment: environment.collect(), flags: &[], sandboxed: true })
    }

    #[test]
    fn windows_are_set_by_kind_and_what_is_not_set_is_left_to_the_kind() {
        let cache =
            read(&[("max_bytes", "1000"), ("record.fresh", "5s"), ("list.stale_if_error", "0s")]).unwrap().cache;
        assert_eq!((cache.max_bytes, cache.not_found), (1000, Duration::from_secs(10)));
        assert_eq!((cache.record.fresh, cache.record.stale_if_error), (Some(Duration::from_secs(5)), None));
        assert_eq!(cache.list.stale_if_error, Some(Duration::ZERO));
    }

    #[test]
    fn a_kind_that_does_not_exist_and_a_deadline_of_zero_are_mistakes() {
        let Err(Mistakes(mistakes)) = read(&[("tickets.fresh", "5s")]) else { panic!("accepted") };
        assert_eq!(mistakes, ["cache.tickets.fresh: no such setting"]);
        let Err(Mistakes(mistakes)) = read(&[("flight_deadline", "0s")]) else { panic!("accepted") };
        assert_eq!(mistakes, ["cache.flight_deadline: must be more than 0"]);
    }
}
