//! Answers requests to the admin port's own host names only.
//!
//! A web page can let its own host name resolve to the address of this port (DNS rebinding). Its visitor's browser then takes
//! the port for a part of the page, and lets the page read the answers. The `Host` header gives it away: it has the page's
//! name. An address in its place cannot be rebound, and is what probes and Prometheus send.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::shown::Admin;

const REFUSAL: &str = "the admin port does not answer to this host name: use an IP address or localhost, or add the name to \
                       admin.allowed_hosts\n";

/// Answers a request with 421 unless every host that it names is the port's own. One that names none is let through: no
/// browser leaves the header out, and some balancers' checks do.
pub async fn check(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let allowed = |host: &str| is_own(host, &admin.0.allowed_hosts);
    let hosts = request.headers().get_all(header::HOST);
    let named = request.uri().authority().is_none_or(|authority| allowed(authority.host()));
    if named && hosts.iter().all(|host| host_of(host).is_some_and(|host| allowed(&host))) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, REFUSAL).into_response()
}

/// Returns the host in a `Host` header, without the port.
fn host_of(value: &HeaderValue) -> Option<String> {
    let authority: Authority = value.to_str().ok()?.parse().ok()?;
    let is_plain = !authority.as_str().contains('@');
    is_plain.then(|| authority.host().to_owned())
}

/// Whether a host is an IP address, `localhost` or one of the names that the settings allow.
fn is_own(host: &str, allowed: &[String]) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    // With a dot at its end a name is the same.
    let name = host.strip_suffix('.').unwrap_or(host);
    host.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_the_names_of_the_settings_are_its_own() {
        let allowed = ["gateway-headless.support.svc".to_owned()];
        let own = |header: &str| {
            let header = HeaderValue::from_str(header).expect("a header value");
            host_of(&header).is_some_and(|host| is_own(&host, &allowed))
        };
        for header in [
            "127.0.0.1",
            "10.1.2.3:9090",
            "[::1]:9090",
            "[fd00::7]",
            "localhost",
            "LocalHost:9090",
            "localhost.:9090",
            "gateway-headless.support.svc:9090",
            "Gateway-Headless.Support.SVC.",
        ] {
            assert!(own(header), "{header}");
        }
        for header in [
            "",
            "rebound.example",
            "rebound.example:9090",
            "localhost.rebound.example",
            "127.0.0.1.rebound.example",
            "127.0.0.1@rebound.example",
            "rebound.example@127.0.0.1",
            "127.1",
            "[rebound.example]",
            "support.svc",
            "a b",
        ] {
            assert!(!own(header), "{header}");
        }
    }
}
