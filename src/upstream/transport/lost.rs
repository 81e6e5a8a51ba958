//! What becomes of a request that its connection does not answer.

use std::pin::pin;

use super::end::End;
use super::handover::Handover;
use super::lane::Lane;
use super::loss::Loss;
use super::{Failed, Parts};
use crate::error::{ConnectionError, Error};
use crate::upstream::call::{Answer, Call};

impl Parts {
    /// Waits for the end of an exchange. A read leaves a connection that does not answer its ping in time, before it is clear
    /// whether the connection lives: it can be repeated on another one.
    pub(super) async fn unless_silent(
        lane: &Lane,
        call: &Call,
        exchange: impl Future<Output = Result<Answer, Failed>>,
    ) -> Result<Answer, Failed> {
        if call.rest.method != http::Method::GET {
            return exchange.await;
        }
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            ended = &mut exchange => return ended,
            () = lane.falls_silent() => {}
        }
        if call.ledger.has_come() {
            return exchange.await;
        }
        let why = ConnectionError::new("the answer to a ping on the connection is late");
        Err(Failed::Error(Error::BrokenBeforeHeaders(if lane.is_first_to_leave() {
            why
        } else {
            why.already_counted()
        })))
    }

    /// Decides what became of a request that got no answer.
    pub(super) fn before_headers(&self, error: &reqwest::Error, handover: &Handover, call: &Call) -> Failed {
        let (lane, taken) = (handover.lane(), handover.is_taken());
        let chain = ConnectionError::of(error);
        match Loss::of(error) {
            Loss::NotProcessed => {
                // It was sent, but counts as not sent: it moves to another connection, and no failure is reported.
                if taken {
                    call.ledger.unsend();
                }
                lane.end(End::Goaway);
                Failed::Move { sent: taken, waits: !lane.has_heard() }
            }
            Loss::Refused => {
                // No answer, and a sign of life.
                lane.heard(true);
                if taken {
                    call.ledger.unsend();
                }
                // The peer may do so for reasons of its own, whatever it allows, so this says nothing of how many requests the
                // connection takes.
                self.pool.refused();
                lane.refuse();
                Failed::Move { sent: taken, waits: true }
            }
            Loss::Stream if taken => Failed::Error(Error::BrokenBeforeHeaders(chain)),
            Loss::Connection if taken => {
                let is_first = lane.broke(End::of(error));
                Failed::Error(Error::BrokenBeforeHeaders(if is_first { chain } else { chain.already_counted() }))
            }
            // Nothing was sent. A connection that did open and does not take the request has ended.
            Loss::Stream | Loss::Connection if lane.is_http1() || lane.failure().is_some() => {
                if self.pool.may_come_back(call.wanted_by) {
                    Failed::Move { sent: false, waits: true }
                } else {
                    let is_first = !lane.is_http1() || lane.fails_anew();
                    Failed::Error(Error::Connect(if is_first { chain } else { chain.already_counted() }))
                }
            }
            Loss::Stream | Loss::Connection => {
                lane.found_closed();
                Failed::Move { sent: false, waits: !lane.has_heard() }
            }
        }
    }
}
