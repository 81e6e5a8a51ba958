//! What a fleet adds to the server: followers forward calls, and the leader's internal port takes them.
//!
//! [`forward`] is a layer of the public port. [`internal`] is the layer of the internal port that says who calls, as followers say:
//! the only code that makes a caller from metadata.

pub mod forward;
mod gathered;
pub mod internal;
mod kept;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderValue;
use tokio::net::TcpListener;

use super::accept::newcomers;
use super::tls::Tls;
use crate::config::{self, FleetMode};
use crate::fleet::elected::Elected;
use crate::fleet::link::{Course, Link};
use crate::telemetry::view;

/// What a replica is in its fleet.
#[derive(Clone)]
pub struct Member {
    /// What it is called.
    pub name: HeaderValue,
    /// What it does.
    pub role: Role,
}

/// What a replica does.
#[derive(Clone)]
pub enum Role {
    /// It answers, for others, too.
    Leads,
    /// It forwards its calls.
    Follows(Link),
    /// The one or the other, as the election has it.
    Elects(Link, Arc<Elected>),
}

/// The internal port of a replica that leads, or may lead.
pub struct Port {
    /// Its socket.
    pub socket: TcpListener,
    /// Its TLS.
    pub tls: Tls,
    /// What it answers followers.
    pub answers: internal::Answers,
    /// Drives the election, if there is one; it has no end.
    pub driver: Option<BoxFuture<'static, ()>>,
}

/// What a replica's metadata takes besides its caller's.
const METADATA: u32 = 4 << 10;
/// A follower's connections stay until one side ends: its streams may last as long as callers' do, and all come from few peers.
const AGE: Duration = Duration::from_hours(24 * 365);

/// Most connections of the internal port: each follower has one, and two for each of its threads.
const CONNECTIONS: usize = 512;

/// A follower's connection without calls.
const FOLLOWING: usize = 1;
/// Connections to the API server, and for pings.
const ELECTING: usize = 24;

/// Returns how many file descriptors a replica keeps back for its fleet, where `threads` serve callers.
pub fn descriptors(of: &config::Fleet, threads: usize) -> usize {
    match (of.mode, of.listen) {
        (FleetMode::Off, _) => 0,
        (FleetMode::Static, Some(_)) => CONNECTIONS + newcomers(CONNECTIONS),
        (FleetMode::Static, None) => FOLLOWING + 2 * threads,
        (FleetMode::Kubernetes, _) => CONNECTIONS + newcomers(CONNECTIONS) + FOLLOWING + ELECTING + 2 * threads,
    }
}

/// Returns the settings of the internal port, made of those of the public one: connections of replicas carry many callers.
pub fn settings(of: &config::Server) -> config::Server {
    config::Server {
        max_streams_per_connection: u32::try_from(of.max_calls).unwrap_or(u32::MAX).max(of.max_streams_per_connection),
        max_header_bytes: of.max_header_bytes.saturating_add(METADATA),
        max_connections: CONNECTIONS,
        max_connections_per_peer: 0,
        max_connection_age: AGE,
        ..of.clone()
    }
}

impl Member {
    /// Returns the link to the leader, if this replica is not the leader itself.
    pub fn link(&self) -> Option<&Link> {
        match &self.role {
            Role::Leads => None,
            Role::Follows(link) | Role::Elects(link, _) => Some(link),
        }
    }

    /// Returns its part in an election, if there is one.
    pub fn elected(&self) -> Option<&Arc<Elected>> {
        match &self.role {
            Role::Elects(_, elected) => Some(elected),
            _ => None,
        }
    }

    /// Returns what the status page knows of it.
    pub fn view(&self) -> view::Fleet {
        let Some(link) = self.link() else {
            return view::Fleet { course: "leads", ..view::Fleet::default() };
        };
        let course = match link.course() {
            Course::Held => "held",
            Course::Own(_) => "leads",
            Course::Leader(_) => "follows",
            Course::Alone(why) => why.as_str(),
        };
        let [lost, not_taken] = link.lost();
        let election = self.elected().map(|elected| view::Election {
            term: elected.heard(),
            named: elected.named().map(|holder| format!("{} at {}", holder.pod, holder.address)),
            lease: elected.lease.last().as_str(),
            failing: elected.lease.failing_for(elected.clock().now()),
            failures: elected.lease.failures(),
            handed_over_in: elected.handed_over_in(),
        });
        view::Fleet { leader: link.leader(), course, lost, not_taken, found: link.found(), election }
    }
}
