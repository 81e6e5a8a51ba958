//! File descriptors: each connection takes one, and a process that has none left answers nobody, not even a probe.
//!
//! So they are shared out at the start. The callers' connections get what is left once enough is kept back for the admin port,
//! for Zendesk and for files; then no number of callers can take the others' descriptors.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use super::accept::{BEGINNINGS, newcomers};
use super::admin::port;
use super::fleet;
use crate::config::Config;

/// Kept back for listeners, logs, files that are read, name lookups, and requests to a token issuer and a collector.
const FILES: usize = 64;
/// Kept back for each worker's event queue and timers.
const PER_WORKER: usize = 4;
/// With fewer connections the gateway does not start.
const MIN_CONNECTIONS: usize = 16;

/// How many file descriptors the process may have.
pub struct Descriptors(usize);

impl Descriptors {
    /// Raises the process's soft limit to its hard limit, and returns what holds from then on.
    pub fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: before.maximum, maximum: before.maximum };
        if before.current != before.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            // Some systems state a hard limit that they do not allow.
            debug!(%error, "the limit of file descriptors stays as it is");
        }
        let now = getrlimit(Resource::Nofile).current;
        Self(now.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    /// Lowers `server.max_connections` to what the limit allows, and `callers.max_calls` to half of that, and says so. `threads` is the number of workers; a `sandboxed`
    /// gateway is Zendesk, too.
    ///
    /// # Errors
    /// The limit is too low for any use.
    pub fn share_out(&self, config: &mut Config, threads: usize, sandboxed: bool) -> anyhow::Result<()> {
        let Self(limit) = *self;
        let settings = &config.upstream;
        // Over HTTP/1.1 each request has a connection for itself, and as many may be kept open for the next ones.
        let zendesk = 2 * settings.queue.permits + 2 * settings.connection.most;
        let zendesk = if sandboxed { 2 * zendesk } else { zendesk };
        let kept_back = port::MAX_CONNECTIONS
            + port::SPARE
            + zendesk
            + FILES
            + PER_WORKER * threads
            + fleet::descriptors(&config.fleet, threads);
        let left = limit.saturating_sub(kept_back + BEGINNINGS * threads);
        let fits = left.saturating_sub(newcomers(left));
        let wanted = config.server.max_connections;
        ensure!(
            fits >= MIN_CONNECTIONS.min(wanted),
            "the process may have only {limit} file descriptors (ulimit -n), of which {kept_back} are kept back \
             ({} for the admin port, {zendesk} for Zendesk, the rest for files); allow {} at least",
            port::MAX_CONNECTIONS + port::SPARE,
            kept_back + BEGINNINGS * threads + MIN_CONNECTIONS + newcomers(MIN_CONNECTIONS)
        );
        if fits < wanted {
            warn!(
                server.max_connections = fits,
                configured = wanted,
                descriptors.limit = limit,
                descriptors.kept_back = kept_back,
                "server.max_connections is lowered: the process may not have more file descriptors (ulimit -n)"
            );
            config.server.max_connections = fits;
        }
        // A connection with a call under way makes room for nobody, so one caller's calls must not be enough for all.
        let most = (config.server.max_connections / 2).max(1);
        if config.callers.max_calls > most {
            warn!(
                callers.max_calls = most,
                configured = config.callers.max_calls,
                server.max_connections = config.server.max_connections,
                "callers.max_calls is lowered: one caller could have a call on each connection"
            );
            config.callers.max_calls = most;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared_out(limit: usize, wanted: usize, sandboxed: bool) -> Result<usize, String> {
        let mut config = Config::default();
        config.server.max_connections = wanted;
        let shared = Descriptors(limit).share_out(&mut config, 2, sandboxed);
        shared.map(|()| config.server.max_connections).map_err(|error| error.to_string())
    }

    #[test]
    fn the_calls_of_one_caller_do_not_take_all_connections() {
        for (wanted, calls, lowered) in
            [(4096, 256, 256), (4096, 4000, 2048), (207, 256, 103), (207, 0, 0), (1, 256, 1)]
        {
            let mut config = Config::default();
            (config.server.max_connections, config.callers.max_calls) = (wanted, calls);
            Descriptors(usize::MAX).share_out(&mut config, 2, false).expect("enough");
            assert_eq!(config.callers.max_calls, lowered, "{calls} of {wanted}");
        }
    }

    #[test]
    fn what_is_kept_back_and_what_connections_get_is_no_more_than_the_limit() {
        assert_eq!(shared_out(usize::MAX, 4096, false), Ok(4096));
        assert_eq!(shared_out(1 << 20, 4096, true), Ok(4096));
        let (mut before, mut sandboxed) = (0, 0);
        for limit in [400, 600, 1_024, 2_048, 4_096] {
            let fits = shared_out(limit, 4096, false).expect("it is enough");
            assert!(
                fits > before && fits + newcomers(fits) + 2 * BEGINNINGS + FILES + port::MAX_CONNECTIONS < limit,
                "{fits}"
            );
            assert_eq!(shared_out(limit, 20, false), Ok(20), "what is asked for fits");
            before = fits;
            if let Ok(now) = shared_out(limit, 4096, true) {
                assert!(now < fits && now > sandboxed, "the stand-in takes some, too");
                sandboxed = now;
            }
        }
    }

    #[test]
    fn a_fleet_has_descriptors_of_its_own() {
        let left = |fleet| {
            let mut config = Config { fleet, ..Config::default() };
            Descriptors(2_048).share_out(&mut config, 2, false).map(|()| config.server.max_connections).expect("enough")
        };
        let member = |listen| crate::config::Fleet {
            mode: crate::config::FleetMode::Static,
            listen,
            ..crate::config::Fleet::default()
        };
        let (off, follows) = (left(crate::config::Fleet::default()), left(member(None)));
        let leads = left(member(Some(([127, 0, 0, 1], 0).into())));
        assert!(off > follows && follows > leads + 300, "{off} {follows} {leads}");
    }

    #[test]
    fn a_limit_that_is_too_low_is_refused_with_the_number_that_would_do() {
        let refused = shared_out(100, 4096, false).expect_err("too few");
        assert!(refused.contains("only 100 file descriptors"), "{refused}");
        let enough = refused.split("allow ").nth(1).and_then(|after| after.split(' ').next()).expect("a number");
        assert!(shared_out(enough.parse().expect("a number"), 4096, false).is_ok(), "{refused}");
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        let Descriptors(limit) = Descriptors::raise();
        let now = getrlimit(Resource::Nofile).current.and_then(|current| usize::try_from(current).ok());
        assert_eq!(now.unwrap_or(usize::MAX), limit);
    }
}
