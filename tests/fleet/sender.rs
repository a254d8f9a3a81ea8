//! Senders that sign each attempt again and record its response in the ledger.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::ledger::Ledger;
use crate::support::{PATIENCE, hmac};

pub const SECRET: &str = "the secret of the senders";

pub const REPLAYED: &str = "409 duplicate_request";
pub const IN_FLIGHT: &str = "409 duplicate_in_flight";
pub const UNAVAILABLE: &str = "503 store_unavailable";

/// Recorded where no complete response came.
pub const NOTHING: &str = "nothing";

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Adds id, time and signature to a request. Returns it with its body.
pub fn sign(request: Builder, id: &str) -> (Builder, String) {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let body = format!("{{\"event\":\"{id}\"}}");
    let signature = hmac(SECRET, format!("{id}.{time}.{body}"));
    (request.header("x-id", id).header("x-time", time).header("x-signature", signature), body)
}

/// The number of each response, and the longest time of one.
#[derive(Debug, Default)]
pub struct Tally {
    pub heard: BTreeMap<String, usize>,
    pub slowest: Duration,
}

impl Tally {
    pub fn of(&self, what: &str) -> usize {
        self.heard.get(what).copied().unwrap_or_default()
    }

    /// Asserts that there were no other responses.
    pub fn only(&self, expected: &[&str]) {
        let other: Vec<_> = self.heard.iter().filter(|(what, _)| !expected.contains(&what.as_str())).collect();
        assert!(other.is_empty(), "got {other:?}");
    }
}

/// One or more senders that share connections.
#[derive(Clone)]
pub struct Sender {
    http: Client<HttpConnector, Full<Bytes>>,
    ledger: Arc<Ledger>,
    pub tally: Arc<Mutex<Tally>>,
}

impl Sender {
    pub fn new(ledger: &Arc<Ledger>) -> Self {
        let http = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { http, ledger: Arc::clone(ledger), tally: Arc::default() }
    }

    /// Sends an id once. Returns the status and, in a problem document, the reason.
    pub async fn ask(&self, gateway: SocketAddr, id: &str) -> String {
        self.ask_at(gateway, "/webhook", id).await
    }

    /// As `ask`, at another path.
    pub async fn ask_at(&self, gateway: SocketAddr, path: &str, id: &str) -> String {
        let begun = Instant::now();
        let (request, body) = sign(Request::post(format!("http://{gateway}{path}")), id);
        let request = request.body(Full::from(body)).unwrap();
        let heard = tokio::time::timeout(PATIENCE, self.hear(request)).await.expect("no response");
        let heard = heard.unwrap_or_else(|| NOTHING.to_owned());
        self.ledger.heard(id, &heard);
        let mut tally = self.tally.lock().unwrap();
        *tally.heard.entry(heard.clone()).or_default() += 1;
        tally.slowest = tally.slowest.max(begun.elapsed());
        heard
    }

    async fn hear(&self, request: Request<Full<Bytes>>) -> Option<String> {
        let (head, body) = self.http.request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let reason = problem.as_ref().and_then(|problem| problem["reason"].as_str()).unwrap_or_default();
        Some(format!("{} {reason}", head.status.as_u16()).trim_end().to_owned())
    }

    /// Sends an id to any of the gateways until it is processed.
    pub async fn deliver(&self, gateways: &[SocketAddr], id: &str, dice: &mut Dice) {
        // Not `until`, because its future cannot be spawned.
        let begun = Instant::now();
        while !matches!(&*self.ask(*dice.pick(gateways), id).await, "200" | REPLAYED) {
            assert!(begun.elapsed() < PATIENCE, "{id} is not processed: {:?}", self.ledger.log(id));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A pseudorandom generator (xorshift) with the same sequence in each run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    pub fn pick<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.below(some.len())]
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}
