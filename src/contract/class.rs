//! Classes of endpoints. The build writes the list of them from the contract.

use super::ENDPOINTS;

/// The class of an endpoint: endpoints that tend to fail together have one circuit breaker. The option of the RPC that an
/// endpoint belongs to states its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(pub &'static str);

impl Class {
    /// Returns its place in [`Class::ALL`].
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|class| *class == self).expect("only the contract makes classes")
    }

    /// True if the class has reads, one of which can find out whether its endpoints work again.
    pub fn has_reads(self) -> bool {
        ENDPOINTS.iter().any(|endpoint| endpoint.class == self && endpoint.verb == "GET")
    }
}
