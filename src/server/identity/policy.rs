//! Applies the rules to one caller: what it may do with each RPC.

use crate::config::Authorization;
use crate::config::identity::Rule;
use crate::contract::{RPCS, Risk, Rpc};
use crate::gateway::caller::{Grant, Known};
use crate::share::Shares;

/// The settings of authorization.
pub struct Policy {
    rules: Vec<Rule>,
    read_only: bool,
    destructive: bool,
    shares: Shares,
}

impl Policy {
    /// Takes the settings. If authentication is off and there are no rules, every caller may do all that `read_only` and
    /// `destructive` leave: an operator who sets `identity.methods` to `none` trusts everyone who can reach the port.
    pub fn new(settings: &Authorization, identity_is_off: bool, shares: &Shares) -> Self {
        let mut rules = settings.rules.clone();
        if rules.is_empty() && identity_is_off {
            rules.push(Rule { callers: vec!["*".to_owned()], risks: Risk::ALL.to_vec(), ..Rule::default() });
        }
        Self { rules, read_only: settings.read_only, destructive: settings.destructive, shares: shares.clone() }
    }

    /// Returns a policy by which nobody may do anything.
    pub fn without_rules() -> Self {
        Self::new(&Authorization::default(), false, &Shares::new(&crate::config::Callers::default(), 0))
    }

    /// Returns the caller of this name, with what it may do.
    pub fn known(&self, name: &str) -> Known {
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.names(name)).collect();
        let grants = RPCS.iter().map(|rpc| self.grant(&rules, rpc)).collect();
        Known { name: name.into(), grants, share: self.shares.of(name) }
    }

    fn grant(&self, rules: &[&Rule], rpc: &Rpc) -> Grant {
        let mut grant = Grant::default();
        for rule in rules.iter().filter(|rule| rule.covers(rpc)) {
            grant = rule.risks.iter().fold(grant, |grant, risk| grant.and(*risk));
            if rule.impersonate {
                grant = grant.and_impersonate();
            }
        }
        if self.read_only {
            grant = grant.read_only();
        }
        if self.destructive { grant } else { grant.nothing_final() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::gateway::caller::Caller;

    fn rule(callers: &[&str], risks: &[Risk], methods: &[&str]) -> Rule {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Rule { callers: texts(callers), risks: risks.to_vec(), methods: texts(methods), impersonate: false }
    }

    fn policy(settings: &Authorization, identity_is_off: bool) -> Policy {
        Policy::new(settings, identity_is_off, &Shares::new(&config::Callers::default(), 0))
    }

    fn may(policy: &Policy, caller: &str, method: &str) -> bool {
        let index = RPCS.iter().position(|rpc| rpc.method == method).expect("an RPC");
        let known = policy.known(caller);
        Caller::new(known.name, known.grants[index], known.share).check(&RPCS[index], RPCS[index].risk).is_ok()
    }

    #[test]
    fn a_caller_may_do_what_some_rule_allows_and_nothing_else() {
        let rules = vec![
            rule(&["*"], &[Risk::Read], &["GroupService/*"]),
            rule(&["api_key:billing", "spiffe://a/*"], &[Risk::Read, Risk::Write], &["UserService/*"]),
            rule(&["api_key:hr"], &Risk::ALL, &["*"]),
        ];
        let policy = policy(&Authorization { rules, destructive: true, read_only: false }, false);
        for (caller, method, wanted) in [
            ("jwt:anyone", "GetGroup", true),
            ("jwt:anyone", "CreateGroup", false),
            ("jwt:anyone", "GetUser", false),
            ("api_key:billing", "GetGroup", true),
            ("api_key:billing", "UpdateUser", true),
            ("api_key:billing", "LogoutUsers", false),
            ("api_key:billing", "DeleteUser", false),
            ("api_key:billing2", "GetUser", false),
            ("spiffe://a/b", "UpdateUser", true),
            ("spiffe://ab/b", "UpdateUser", false),
            ("api_key:hr", "DeleteUser", true),
        ] {
            assert_eq!(may(&policy, caller, method), wanted, "{caller} {method}");
        }
    }

    #[test]
    fn without_rules_everybody_may_do_what_the_switches_leave_only_if_nobody_is_told_apart() {
        let settings = Authorization::default();
        let (open, closed) = (policy(&settings, true), policy(&settings, false));
        for rpc in RPCS {
            assert_eq!(may(&open, "anonymous", rpc.method), rpc.risk != Risk::Destructive, "{}", rpc.method);
            assert!(!may(&closed, "api_key:a", rpc.method), "{}", rpc.method);
        }
        let settings = Authorization { rules: vec![rule(&["anonymous"], &[Risk::Read], &["*"])], ..settings };
        let ruled = policy(&settings, true);
        assert!(may(&ruled, "anonymous", "GetUser") && !may(&ruled, "anonymous", "UpdateUser"));
    }
}
