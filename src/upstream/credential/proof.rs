//! Asks Zendesk whether it accepts the gateway's own credential: once, before anything depends on it.

use std::time::Duration;

use tokio::time::timeout;

use super::source::{Place, Source};
use super::whose::{Proof, whose};
use super::{Credential, Origin};
use crate::error::{ConnectionError, Error};
use crate::telemetry::trouble::{CREDENTIAL, KeptOut};
use crate::upstream::client;

impl Source {
    /// Asks Zendesk whose the gateway's own credential is, at most for so long.
    pub async fn prove(&self, zendesk: &client::Origin, within: Duration) -> Proof {
        let Some(base) = self.own() else { return Proof::NotAsked };
        let asked = timeout(within, ask(base, zendesk)).await;
        asked.unwrap_or_else(|_| Proof::Unknown(format!("no answer within {}", humantime::format_duration(within))))
    }

    fn own(&self) -> Option<&Credential> {
        match self.place() {
            Place::Own { base, .. } => Some(base),
            Place::PassThrough => None,
        }
    }
}

async fn ask(base: &Credential, zendesk: &client::Origin) -> Proof {
    let credential = match &base.origin {
        Origin::Client(client) => match client.next(None, false).await {
            Ok(token) => token.map(|token| base.with(token)),
            Err(error) => return without_token(&error),
        },
        Origin::File(_) | Origin::Fixed => Some(base.current()),
    };
    let asked = credential.and_then(|credential| Some((credential.header()?, credential.token?)));
    let Some((header, token)) = asked else {
        return Proof::Unknown("there is no access token yet".to_owned());
    };
    match whose(zendesk, header).await {
        Ok(proof) => {
            // A successor has one before it even where no call was sent.
            if let (Proof::Accepted(_), Origin::File(file)) = (&proof, &base.origin) {
                file.accepted(&token);
            }
            proof
        }
        Err(error) => Proof::Unknown(ConnectionError::of(error.as_ref()).text),
    }
}

/// What it means that there is no access token: the endpoint is the account's, too.
fn without_token(error: &Error) -> Proof {
    let status = error.refusal().map_or(0, |refusal| refusal.status);
    let why = match error {
        // `invalid_client` and the like have a status of 400.
        Error::Credential { .. } if status == 400 => Some(KeptOut { means: CREDENTIAL, status }),
        Error::Credential { .. } | Error::Redirected(_) | Error::Malformed(_) => KeptOut::of(status),
        _ => None,
    };
    why.map_or_else(|| Proof::Unknown(format!("no access token: {error}")), Proof::Refused)
}
