//! The services of one process, which its gateways, the admin listener and reloads share. Built once, by
//! [`crate::app`].

use std::sync::Arc;

use crate::acme::Acme;
use crate::clock::Clock;
use crate::jwks::Jwks;
use crate::limit::{ChallengeLimit, MemoryQuota, RequestLimits};
use crate::metrics::Metrics;
use crate::snapshot::SharedSnapshot;
use crate::store::StoreClient;

/// State and settings that all threads of the process share.
pub struct Services {
    /// The active configuration.
    pub snapshot: SharedSnapshot,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Remote key sets, with the fetch of keys that are not known yet.
    pub jwks: Arc<Jwks>,
    /// Certificates from ACME servers.
    pub acme: Arc<Acme>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Whether each request gets a line in the access log (`log.access`).
    pub access_log: bool,
    /// Memory quota of buffered bodies.
    pub buffered: MemoryQuota,
    /// Memory quota of requests that wait for their bodies.
    pub waiting: MemoryQuota,
    /// Rate limit of endpoint verification challenges that are answered.
    pub challenges: ChallengeLimit,
    /// Store of replay ids, idempotency keys, shared rate limits and revocations; `None` without a configured `store`.
    pub store: Option<Arc<StoreClient>>,
    /// Consumed quota of the routes' rate and concurrency limits.
    pub limits: RequestLimits,
}
