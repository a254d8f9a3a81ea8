//! Subscriptions, each confirmed by a fetch of the URL in a verified message.
//!
//! A message can be sent again by an attacker who has copied it, for as long as its time is not too old. A URL that was
//! fetched is therefore not fetched again meanwhile: a subscription that the operator has deleted stays deleted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::certificates::{COOLDOWN, client};
use super::fetch::{MAX_WAIT, fetch_once};
use crate::auth::challenge::Confirmation;
use crate::metrics::{Metrics, OperationResult};
use crate::telemetry;

/// How long a confirmed URL is remembered: for longer than a message of Amazon SNS is accepted, which is 65 minutes and
/// 5 minutes for clocks that differ.
const REMEMBERED: Duration = Duration::from_secs(75 * 60);

/// Maximum number of URLs that are remembered. With more, the one that was confirmed first is forgotten.
const MAX_REMEMBERED: usize = 256;

/// Maximum number of confirmations that have not ended, or that failed within the cooldown.
const MAX_UNCONFIRMED: usize = 32;

/// Maximum size of a response in bytes; it is an XML document of 500 bytes.
const MAX_RESPONSE: usize = 16 * 1024;

/// The confirmations that have not ended, that failed within the cooldown, or that succeeded a while ago.
pub struct SubscriptionConfirmations {
    attempted: Mutex<ConfirmationAttempts>,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

/// In the order in which they began.
#[derive(Default)]
struct ConfirmationAttempts(Vec<ConfirmationAttempt>);

struct ConfirmationAttempt {
    url: String,
    result: watch::Receiver<Option<EndedConfirmation>>,
}

#[derive(Clone)]
struct EndedConfirmation {
    at: Instant,
    result: Result<(), String>,
}

impl SubscriptionConfirmations {
    pub(super) fn new(metrics: Arc<Metrics>, runtime: Handle) -> Self {
        Self { attempted: Mutex::default(), metrics, runtime }
    }

    /// Confirms the subscription: by one fetch for all requests that wait for it, and by none if it is confirmed.
    ///
    /// # Errors
    /// Why it could not be confirmed.
    pub async fn confirm(&self, confirmation: &Confirmation) -> Result<(), String> {
        let Some(mut result) = self.attempt(confirmation) else {
            return Err("too many confirmations of subscriptions".to_owned());
        };
        let ended = result.wait_for(Option::is_some);
        match tokio::time::timeout(MAX_WAIT, ended).await {
            Ok(Ok(ended)) => ended.as_ref().map(|ended| ended.result.clone()),
            Ok(Err(_)) | Err(_) => None,
        }
        .unwrap_or_else(|| Err(format!("timeout after {} s", MAX_WAIT.as_secs())))
    }

    /// The result of the last fetch of this URL if it counts, or else of a new one; `None` if there may be no other
    /// fetch.
    fn attempt(&self, confirmation: &Confirmation) -> Option<watch::Receiver<Option<EndedConfirmation>>> {
        let mut attempts = self.attempted.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.0.retain(ConfirmationAttempt::counts);
        if let Some(same) = attempts.0.iter().find(|attempt| attempt.url == confirmation.url) {
            return Some(same.result.clone());
        }
        let confirmed = attempts.0.iter().filter(|attempt| attempt.is_confirmed()).count();
        if attempts.0.len() - confirmed >= MAX_UNCONFIRMED {
            return None;
        }
        if confirmed >= MAX_REMEMBERED
            && let Some(first) = attempts.0.iter().position(ConfirmationAttempt::is_confirmed)
        {
            attempts.0.remove(first);
        }
        let (sender, result) = watch::channel(None);
        attempts.0.push(ConfirmationAttempt { url: confirmation.url.clone(), result: result.clone() });
        drop(attempts);
        let (metrics, confirmation) = (Arc::clone(&self.metrics), confirmation.clone());
        self.runtime.spawn(async move {
            let result = fetched(&metrics, &confirmation).await;
            // No request may be waiting for it any more.
            let _ = sender.send(Some(EndedConfirmation { at: Instant::now(), result }));
        });
        Some(result)
    }
}

/// Fetches the URL. Its query has a token with which anyone can confirm the subscription: it is in no log line.
async fn fetched(metrics: &Metrics, confirmation: &Confirmation) -> Result<(), String> {
    let (issuer, topic) = (&*confirmation.certificates.source.name, confirmation.topic.as_str());
    let count = |result| metrics.certificate_fetches(issuer, result).inc();
    let response = match client(&confirmation.certificates) {
        Ok(client) => fetch_once(&client, &confirmation.url, MAX_RESPONSE).await,
        Err(error) => Err(error),
    };
    match response {
        Ok(_) => {
            count(OperationResult::Success);
            tracing::info!(issuer, topic, "confirmed a subscription");
            Ok(())
        }
        Err(error) => {
            count(OperationResult::Error);
            let error = telemetry::chain(&error);
            tracing::warn!(issuer, topic, error, "could not confirm a subscription");
            Err(error)
        }
    }
}

impl ConfirmationAttempt {
    /// Whether the fetch has not ended, failed within the cooldown, or succeeded within the time for which that is
    /// remembered.
    fn counts(&self) -> bool {
        match &*self.result.borrow() {
            None => self.result.has_changed().is_ok(),
            Some(EndedConfirmation { at, result: Ok(()) }) => at.elapsed() < REMEMBERED,
            Some(EndedConfirmation { at, result: Err(_) }) => at.elapsed() < COOLDOWN,
        }
    }

    fn is_confirmed(&self) -> bool {
        matches!(&*self.result.borrow(), Some(EndedConfirmation { result: Ok(()), .. }))
    }
}
