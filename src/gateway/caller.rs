//! Who makes a call, and what the caller may do.

use std::fmt;
use std::sync::Arc;

use crate::contract::{Risk, Rpc};
use crate::error::{Error, Result};
use crate::share::Share;

/// The caller of one call, and what it may do with the RPC it calls. The default caller is unknown and may do nothing. Cheap
/// to clone.
#[derive(Clone, Default)]
pub struct Caller {
    name: Option<Arc<str>>,
    grant: Grant,
    share: Share,
}

/// An authenticated caller, whatever it calls. Cheap to clone.
#[derive(Clone)]
pub struct Known {
    /// Its name.
    pub name: Arc<str>,
    /// What it may do with each of [`RPCS`](crate::contract::RPCS).
    pub grants: Arc<[Grant]>,
    /// What it has under way of what all callers share.
    pub share: Share,
}

/// What one caller may do with one RPC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grant(u8);

const IMPERSONATE: u8 = 1 << 4;
const READ_ONLY: u8 = 1 << 5;
const NOTHING_FINAL: u8 = 1 << 6;

impl Grant {
    /// Allows calls of this risk class.
    #[must_use]
    pub const fn and(self, risk: Risk) -> Self {
        Self(self.0 | (1 << risk as u8))
    }

    /// Allows the caller to name the Zendesk user on whose behalf it acts.
    #[must_use]
    pub const fn and_impersonate(self) -> Self {
        Self(self.0 | IMPERSONATE)
    }

    /// Refuses everything but reads, whatever else is granted.
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self(self.0 | READ_ONLY)
    }

    /// Refuses destructive calls, whatever else is granted.
    #[must_use]
    pub const fn nothing_final(self) -> Self {
        Self(self.0 | NOTHING_FINAL)
    }

    /// Returns the grant as a number, which another replica of the same contract reads.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the grant that a replica has written as this number.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

impl Caller {
    /// Returns a caller who may do what `grant` says with the RPC it calls, and takes from `share`.
    pub fn new(name: Arc<str>, grant: Grant, share: Share) -> Self {
        Self { name: Some(name), grant, share }
    }

    /// Returns the caller `local`: code of this process, which may make calls of every risk class, but not impersonate.
    pub fn local() -> Self {
        Self::new("local".into(), Risk::ALL.into_iter().fold(Grant::default(), Grant::and), Share::default())
    }

    /// Returns the caller's name, such as `api_key:billing`; `unknown` if the caller was not authenticated.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("unknown")
    }

    /// Returns what the caller may do with the RPC it calls.
    pub fn grant(&self) -> Grant {
        self.grant
    }

    /// Returns what the caller has under way of what all callers share.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// True if the caller was authenticated, or need not be.
    pub fn is_known(&self) -> bool {
        self.name.is_some()
    }

    /// True if the caller may name the Zendesk user on whose behalf it acts.
    pub fn may_impersonate(&self) -> bool {
        self.grant.has(IMPERSONATE)
    }

    /// Checks that the caller may make a call of this risk.
    ///
    /// # Errors
    /// [`Error::CallerForbidden`], with the setting or the missing rule that forbids the call.
    pub fn check(&self, rpc: &Rpc, risk: Risk) -> Result<()> {
        let no = |why: String| Err(Error::CallerForbidden { why });
        if risk > Risk::Read && self.grant.has(READ_ONLY) {
            return no("the gateway is read-only (authorization.read_only)".to_owned());
        }
        if risk == Risk::Destructive && self.grant.has(NOTHING_FINAL) {
            return no(
                "what cannot be undone is switched off, and authorization.destructive = true allows it".to_owned()
            );
        }
        // The values of a message can raise a call's risk above its RPC's; then the caller needs both classes.
        for needed in [rpc.risk, risk] {
            if !self.grant.has(1 << needed as u8) {
                return no(format!(
                    "no rule allows {} a call of {} with risk {}",
                    self.name(),
                    rpc.name(),
                    needed.as_str()
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Caller({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::RPCS;

    fn rpc(method: &str) -> &'static Rpc {
        RPCS.iter().find(|rpc| rpc.method == method).expect("an RPC")
    }

    fn check(grant: Grant, method: &str, risk: Risk) -> Result<()> {
        Caller::new("api_key:a".into(), grant, Share::default()).check(rpc(method), risk)
    }

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let unknown = Caller::default();
        for rpc in RPCS {
            assert!(matches!(unknown.check(rpc, rpc.risk), Err(Error::CallerForbidden { .. })), "{}", rpc.method);
        }
        let write = Grant::default().and(Risk::Write);
        assert!(check(write, "UpdateUser", Risk::Write).is_ok());
        assert!(check(write, "UpdateUser", Risk::Admin).is_err(), "the values raise it");
        assert!(check(write.and(Risk::Admin), "UpdateUser", Risk::Admin).is_ok());
        assert!(check(Grant::default().and(Risk::Admin), "UpdateUser", Risk::Admin).is_err(), "it writes, too");
        assert!(check(write, "GetUser", Risk::Read).is_err(), "a class does not contain those below it");
    }

    #[test]
    fn the_switches_win_over_what_is_granted() {
        let all = Risk::ALL.into_iter().fold(Grant::default(), Grant::and);
        assert!(check(all, "DeleteUser", Risk::Destructive).is_ok());
        let why = |outcome: Result<()>| outcome.expect_err("a refusal").to_string();
        assert!(why(check(all.nothing_final(), "DeleteUser", Risk::Destructive)).contains("authorization.destructive"));
        assert!(check(all.nothing_final(), "CreateGroup", Risk::Admin).is_ok());
        assert!(check(all.read_only(), "GetUser", Risk::Read).is_ok());
        for (method, risk) in
            [("UpdateUser", Risk::Write), ("CreateGroup", Risk::Admin), ("DeleteUser", Risk::Destructive)]
        {
            assert!(why(check(all.read_only(), method, risk)).contains("authorization.read_only"), "{method}");
        }
        assert!(!Caller::new("a".into(), all, Share::default()).may_impersonate());
        assert!(Caller::new("a".into(), all.and_impersonate(), Share::default()).may_impersonate());
    }
}
