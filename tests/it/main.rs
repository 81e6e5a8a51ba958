//! The whole service in process: a real gRPC client, a real HTTP hop to the embedded stand-in.

#![cfg(feature = "sandbox")]
#![recursion_limit = "256"] // the JSON of a whole user is one macro call

mod admin;
mod answers;
mod attacks;
mod audit;
mod authorization;
mod bulk;
mod cache;
mod cancel;
mod chart;
mod clients;
mod config;
mod contract;
mod credentials;
mod crowds;
mod dashboard;
mod deadlines;
mod documents;
mod drain;
mod errors;
mod fields;
mod floors;
mod fuzz;
mod hostile;
mod http2;
mod identity;
mod invalid;
mod jobs;
mod lists;
mod matrix;
mod mistakes;
mod outages;
mod pagination;
mod process;
mod protocol;
mod punctuality;
mod readme;
mod reads;
mod real_clients;
mod redaction;
mod requests;
mod room;
mod rosters;
mod server;
mod start;
mod streams;
mod support;
mod telemetry;
mod tls;
mod truth;
mod wire;
mod workers;
mod writes;
mod zendesk_clients;
