//! Groups of endpoints that tend to fail together; each has one circuit breaker.

use http::Method;

/// The endpoint class of a call: what fails together is judged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(pub &'static str);

impl Class {
    /// Every class.
    pub const ALL: [Self; 10] = [
        Self("user_reads"),
        Self("user_writes"),
        Self("user_search"),
        Self("group_reads"),
        Self("group_writes"),
        Self("membership_reads"),
        Self("membership_writes"),
        Self("deleted_users"),
        Self("jobs"),
        Self("bulk"),
    ];

    /// Returns its place in [`Class::ALL`].
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|class| *class == self).expect("classes come from Class::of, which names only these")
    }

    /// True if the class has reads, one of which can find out whether its endpoints work again.
    pub fn has_reads(self) -> bool {
        !self.0.ends_with("_writes") && self.0 != "bulk"
    }

    /// Returns the class of a request.
    pub fn of(method: &Method, path: &str) -> Self {
        let read = method == Method::GET;
        let path = path.strip_prefix("/api/v2/").unwrap_or_default();
        let family = path.split('/').next().unwrap_or_default();
        if path.ends_with("_many") && !read {
            return Self("bulk");
        }
        Self(match family {
            "job_statuses" => "jobs",
            "deleted_users" => "deleted_users",
            _ if path.contains("memberships") => {
                return Self(if read { "membership_reads" } else { "membership_writes" });
            }
            _ if path.ends_with("/search") || path.ends_with("/autocomplete") => "user_search",
            _ if path.contains("/users") || family == "users" && !path.contains("/groups") => {
                return Self(if read { "user_reads" } else { "user_writes" });
            }
            _ if read => "group_reads",
            _ => "group_writes",
        })
    }
}
