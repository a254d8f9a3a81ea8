//! The values of labels that are not names of gateway.yaml.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::auth::{PolicyKind, SignatureCheck};
use crate::failure::Exhausted;
use crate::reason::Reason;
use crate::rows::rows;

/// The value of a label, for types that have no function `label` themselves. It is empty where there is none.
pub(super) trait Label {
    fn label(&self) -> &str;
}

impl Label for str {
    fn label(&self) -> &str {
        self
    }
}

impl Label for Option<Reason> {
    fn label(&self) -> &str {
        self.map_or("", Reason::word)
    }
}

impl Label for Option<StatusCode> {
    fn label(&self) -> &str {
        self.as_ref().map_or("", StatusCode::as_str)
    }
}

impl Label for Option<HandshakeError> {
    fn label(&self) -> &str {
        self.map_or("", HandshakeError::label)
    }
}

impl Label for SignatureCheck {
    fn label(&self) -> &str {
        lookup(*self).0
    }
}

/// The value for a lookup in the cache of tokens, and its meaning.
const fn lookup(check: SignatureCheck) -> (&'static str, &'static str) {
    match check {
        SignatureCheck::Cached => {
            ("hit", "The same token was verified before with the same keys, and only its claims were verified again.")
        }
        SignatureCheck::Verified => ("miss", "The signature was verified."),
    }
}

/// The fixed values of a label and their meanings, for the reference. `None` if the values are names of gateway.yaml,
/// reasons or HTTP statuses.
pub type LabelValues = Option<Vec<(&'static str, &'static str)>>;

/// A type of labels, by which the reference knows their values.
pub(super) trait LabelType {
    fn values() -> LabelValues {
        None
    }
}

impl LabelType for &str {}
impl LabelType for Option<Reason> {}
impl LabelType for Option<StatusCode> {}

/// All variants of these are values. A trait of the enums instead would have to be declared and implemented for each.
macro_rules! variants_are_values {
    ($($label:ty),+) => {
        $(impl LabelType for $label {
            fn values() -> LabelValues {
                Some(<$label>::ALL.iter().map(|value| (value.label(), value.meaning())).collect())
            }
        })+
    };
}

variants_are_values!(
    ConnectionRejection,
    DisplacedCause,
    EntryKind,
    FilterResult,
    HandshakeError,
    LogLineKind,
    OperationResult,
    Outcome,
    PolicyKind,
    PoolName,
    Reloaded,
    StoreLoss,
    StoreOperationResult
);

impl LabelType for Option<HandshakeError> {
    fn values() -> LabelValues {
        HandshakeError::values()
    }
}

impl LabelType for SignatureCheck {
    fn values() -> LabelValues {
        Some([Self::Cached, Self::Verified].map(lookup).to_vec())
    }
}

rows! {
    /// How a request ended.
    pub enum Outcome;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// The upstream responded, with any status.
    Forwarded = "forwarded";
    /// The request was not forwarded, for `reason`.
    Rejected = "rejected";
    /// A route in [dry run](configuration/routes.md#routes.mode) forwarded the request, which would have been rejected
    /// for `reason`.
    DryRunRejected = "dry_run_rejected";
    /// The gateway answered a provider's endpoint verification challenge.
    ChallengeAnswered = "challenge_answered";
    /// The gateway answered a CORS preflight of a browser.
    PreflightAnswered = "preflight_answered";
    /// A duplicate of a processed event was acknowledged or got the stored response; `reason` is `duplicate_request`.
    DuplicateAnswered = "duplicate_answered";
    /// A rule of [`filter`](../concepts/filter.md) matched the verified event, which was acknowledged and not forwarded.
    Filtered = "filtered";
    /// The upstream's response ended prematurely after it had begun; `reason` is `upstream_protocol_error` or
    /// `upstream_timeout`.
    UpstreamIncomplete = "upstream_incomplete";
    /// The upstream gave no response, the client disconnected or was too slow, or the gateway cannot verify the request (503); see `reason`.
    Error = "error";
}

rows! {
    /// Whether an operation succeeded.
    pub enum OperationResult;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// It succeeded.
    Success = "success";
    /// It failed.
    Error = "error";
}

rows! {
    /// Whether an event that a rule of the filter matches was forwarded.
    pub enum FilterResult;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// It was acknowledged and not forwarded.
    Filtered = "filtered";
    /// The rule or the route is in dry run: the event was forwarded.
    DryRun = "dry_run";
}

rows! {
    /// Result of a reload.
    pub enum Reloaded;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// The new configuration or list is active.
    Applied = "applied";
    /// After a SIGHUP: the files are the active ones.
    Unchanged = "unchanged";
    /// It has problems, which were logged; the old one stays active.
    Rejected = "rejected";
}

rows! {
    /// Why a connection is closed before any response: a key of the listener, or `trusted_proxies`.
    pub enum ConnectionRejection;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// The listener has too many connections.
    MaxConnections = "max_connections";
    /// The client's address has too many connections.
    MaxConnectionsPerIp = "max_connections_per_ip";
    /// The listener requires a trusted proxy, and the connection does not come from one.
    TrustedProxies = "trusted_proxies";
    /// There was no valid PROXY header in time.
    ProxyProtocol = "proxy_protocol";
}

rows! {
    /// A pool whose clients give way when it is full.
    pub enum PoolName;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// Open connections of a listener (`max_connections`).
    Connections = "connections";
    /// Requests that wait for their bodies (`too_many_waiting_requests`).
    WaitingRequests = "waiting_requests";
    /// Buffered bodies (`max_buffered_bytes`, `buffer_full`).
    BufferedBodies = "buffered_bytes";
}

rows! {
    /// Why a client gave way.
    pub enum DisplacedCause;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// It had sent nothing, or less than 64 KiB per second, for more than a second.
    Late = "late";
    /// No client was late, and its address held more than any other one.
    Heaviest = "heaviest";
}

impl From<Exhausted> for DisplacedCause {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::Late => Self::Late,
            Exhausted::Total | Exhausted::Address => Self::Heaviest,
        }
    }
}

rows! {
    /// Why there is no TLS connection.
    pub enum HandshakeError;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// One side's certificate does not chain to a CA that the other side trusts. A self-signed one never does.
    UnknownCa = "unknown_ca";
    /// The listener requires a client certificate, and the client presented none.
    NoClientCertificate = "no_client_certificate";
    /// The client's certificate has expired, or the client says so of the served one.
    CertificateExpired = "certificate_expired";
    /// The client's certificate is revoked, or the client says so of the served one.
    CertificateRevoked = "certificate_revoked";
    /// The client rejected the gateway's certificate, most often because it does not have the name that the client
    /// requested: compare `server_name` of the log line with the names of the certificate.
    BadCertificate = "bad_certificate";
    /// No TLS version that both sides support.
    ProtocolVersion = "protocol_version";
    /// No application protocol (ALPN, RFC 7301) that both sides support.
    NoCommonAlpn = "no_common_alpn";
    /// The client wants a name of [`tls.acme`](../concepts/tls.md#acme) that has no certificate yet.
    NoCertificate = "no_certificate";
    /// Plain HTTP on a TLS port.
    PlainHttp = "plain_http";
    /// The handshake was not complete in time.
    Timeout = "timeout";
    /// Any other error, such as a client that disconnected.
    Other = "other";
}

rows! {
    /// Whose log line it is.
    pub enum LogLineKind;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// About a request that was not authenticated, or a connection without a request. These lines are dropped first.
    Unauthenticated = "unauthenticated";
    /// Any other line, such as that of a forwarded request.
    Other = "other";
}

impl LogLineKind {
    /// The number of dropped lines of this process, which is also counted where no gateway and its metrics are at hand.
    pub(super) fn dropped(self) -> &'static AtomicU64 {
        static UNAUTHENTICATED: AtomicU64 = AtomicU64::new(0);
        static OTHER: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Unauthenticated => &UNAUTHENTICATED,
            Self::Other => &OTHER,
        }
    }

    /// Counts a line that is dropped.
    pub fn count_dropped(self) {
        self.dropped().fetch_add(1, Ordering::Relaxed);
    }
}

rows! {
    /// The purpose of an entry in the store.
    pub enum EntryKind;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// The replay id of a request.
    Replay = "replay";
    /// An idempotency key.
    Idempotency = "idempotency";
}

rows! {
    /// An event in which Redis may have lost entries, and how it ended.
    pub enum StoreLoss;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// The event: a restart, a promotion, an emptied database, or a clock that was set.
    Detected = "detected";
    /// All gateways have written again the entries that may have been lost.
    Recovered = "recovered";
    /// A gateway did not return, or lacks entries itself: some entries are lost, and credentials that may have them are
    /// rejected until they expire.
    Incomplete = "incomplete";
}

rows! {
    /// Result of an operation of the store on an entry.
    pub enum StoreOperationResult;
    /// The label's value.
    pub fn label -> &'static str, meaning;
    /// The entry is reserved.
    Reserved = "reserved";
    /// The entry was committed before.
    Duplicate = "duplicate";
    /// The entry is reserved by another request.
    InFlight = "in_flight";
    /// The entry belongs to another request, which was not forwarded.
    Mismatch = "mismatch";
    /// The store has no capacity for it.
    Full = "full";
    /// The store did not respond.
    Unavailable = "unavailable";
    /// The store did not respond, and `on_error` allows the request.
    Allowed = "allowed";
    /// The entry is committed.
    Committed = "committed";
    /// The entry is released.
    Released = "released";
    /// The entry belongs to another owner, after the lease.
    Lost = "lost";
    /// The entry could not be committed, which is retried.
    CommitFailed = "commit_failed";
    /// The entry could not be released, which is retried.
    ReleaseFailed = "release_failed";
    /// No further attempt to commit or release the entry is made.
    GivenUp = "given_up";
}
