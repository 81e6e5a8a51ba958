//! How the upstream behaves at the moment: how slow it is and what it does to requests.

use std::time::Duration;

use super::clock::now;
use super::http::Response;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Refused with this status, and nothing done.
    Refused(u16),
    /// Done, and answered with this status all the same.
    DoneBut(u16),
    /// Done, and the answer breaks off.
    DoneAndCut,
    /// Done, and the connection is closed without an answer.
    DoneAndClosed,
    /// Not done, and the connection is closed.
    Closed,
    /// Done, and the connection is closed without an answer, after so long that nobody waits.
    DoneAndHung,
}

#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Of a thousand requests, how many take up to 40 ms, and how many up to 600 ms. The others take up to 2 ms.
    pub slow: u32,
    pub slowest: u32,
    /// Of a thousand requests, how many have another fate than to be answered.
    pub faults: u32,
    /// Until when every request fails, in nanoseconds of [`now`].
    pub outage_until: u64,
}

impl Weather {
    pub const FAIR: Self = Self { slow: 30, slowest: 2, faults: 0, outage_until: 0 };
    pub const ROUGH: Self = Self { slow: 100, slowest: 50, faults: 40, outage_until: 0 };

    pub fn latency(&self, random: &mut fastrand::Rng) -> Duration {
        let most = match random.u32(..1000) {
            draw if draw < self.slowest => 600_000,
            draw if draw < self.slowest + self.slow => 40_000,
            draw if draw < 500 => 2_000,
            _ => return Duration::ZERO,
        };
        Duration::from_micros(random.u64(..most))
    }

    pub fn fate(&self, random: &mut fastrand::Rng) -> Fate {
        if now() < self.outage_until {
            return *random.choice(&[Fate::Refused(503), Fate::Closed]).expect("there are two");
        }
        if random.u32(..1000) >= self.faults {
            return Fate::Answered;
        }
        match random.u32(..100) {
            0..15 => Fate::Refused(503),
            15..25 => Fate::Refused(500),
            25..28 => Fate::Refused(409),
            28..29 => Fate::Refused(429),
            29..40 => Fate::Closed,
            40..55 => Fate::DoneAndClosed,
            55..70 => Fate::DoneAndCut,
            70..80 => Fate::DoneBut(503),
            80..90 => Fate::DoneBut(500),
            _ => Fate::DoneAndHung,
        }
    }
}

/// The body of a refusal.
pub fn refusal(status: u16) -> Response {
    let headers = if status == 429 { "retry-after: 1\r\n" } else { "" };
    Response { headers, ..Response::new(status, r#"{"error":"Refused","description":"not now"}"#) }
}
