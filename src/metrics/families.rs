//! The families of the metrics: one row for each, with its name, its texts and its labels, and the functions that
//! return their children.

use http::StatusCode;
use prometheus::{Gauge, Histogram, IntCounter, IntGauge, Registry};

use super::family::{Child, MetricLabel, MetricRow, row};
use super::label::{
    ConnectionRejection, DisplacedCause, EntryKind, FilterResult, HandshakeError, Label as _, LabelType, LogLineKind,
    OperationResult, Outcome, PoolName, Reloaded, StoreLoss, StoreOperationResult,
};
use crate::auth::{PolicyKind, SignatureCheck};
use crate::clock::UnixTime;
use crate::reason::Reason;

/// Seconds; from half a millisecond, where a local upstream responds, to the default timeout of an upstream.
const REQUEST_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds; from a cached signature to a wait for a fetch of keys.
const VERIFY_BUCKETS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.1, 0.5, 2.0];

/// Declares each metric in one row: the function that returns its child for the values of its labels, then its name,
/// its help, its meaning in the reference and, of a histogram, its buckets. Only a macro can make a field and a
/// function of a row.
macro_rules! metrics {
    ($(
        $metric:ident($($label:ident: $value:ty),*) -> $child:ty,
        $name:literal, $help:literal, $reference:literal $(, $buckets:expr)?;
    )+) => {
        /// Every metric of the gateway, in the order of the reference.
        pub const ROWS: [MetricRow; [$($name),+].len()] = [$(
            row(<$child>::KIND, $name, $help, $reference)
                .labels(&[$(MetricLabel { name: stringify!($label), values: <$value as LabelType>::values }),*])
                $(.buckets($buckets))?
        ),+];

        /// The family of each metric.
        #[derive(Debug)]
        pub struct Families {
            $(pub(super) $metric: <$child as Child>::Family,)+
        }

        impl Families {
            pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                let [$($metric),+] = ROWS;
                $(
                    let has_labels = !$metric.labels.is_empty();
                    let $metric = <$child>::register(&$metric, registry)?;
                    // A metric without labels has one child, which is exported from the start.
                    if !has_labels {
                        $metric.with_label_values::<&str>(&[]);
                    }
                )+
                Ok(Self { $($metric,)+ })
            }

            /// Removes a child of the family of this name.
            pub(super) fn remove(&self, family: &str, labels: &[&str]) {
                // An error means that there is no such child, which is as good.
                let _ = match family {
                    $($name => self.$metric.remove_label_values(labels),)+
                    _ => Ok(()),
                };
            }

            $(
                #[doc = $help]
                pub fn $metric(&self, $($label: $value),*) -> $child {
                    self.$metric.with_label_values::<&str>(&[$($label.label()),*])
                }
            )+
        }
    };
}

metrics! {
    requests(route: &str, outcome: Outcome, reason: Option<Reason>, status: Option<StatusCode>) -> IntCounter,
        "hookgate_requests_total",
        "Requests by route, outcome, reason and the HTTP status of the response.",
        "requests, by how they ended. `status` is the HTTP status of the response, empty if none was sent. `route` is empty if none matched, `reason` if there is \
         none, as for forwarded requests";

    request_duration(route: &str) -> Histogram,
        "hookgate_request_duration_seconds",
        "Time from the request headers to the end of the response.",
        "seconds from the request's headers to the end of the response, if there was a route",
        REQUEST_BUCKETS;

    upstream_duration(route: &str) -> Histogram,
        "hookgate_upstream_duration_seconds",
        "Time from forwarding a request to the response headers of the upstream.",
        "seconds from forwarding a request to the headers of the upstream's response",
        REQUEST_BUCKETS;

    verify_duration(scheme: PolicyKind) -> Histogram,
        "hookgate_verify_duration_seconds",
        "Time to verify one request, including any wait for keys.",
        "seconds of the decision, with any wait for keys. A preset counts as its scheme",
        VERIFY_BUCKETS;

    open_connections(listener: &str) -> IntGauge,
        "hookgate_open_connections",
        "Open client connections.",
        "open connections. `listener` is the address as configured";

    open_tunnels(route: &str) -> IntGauge,
        "hookgate_open_tunnels",
        "Open WebSocket connections that are forwarded to the upstream.",
        "open [WebSocket connections](../concepts/websocket.md) of a route with `websocket`";

    connections_rejected(listener: &str, reason: ConnectionRejection) -> IntCounter,
        "hookgate_connections_rejected_total",
        "Client connections closed as soon as they were accepted, by reason.",
        "connections that were closed at once";

    displaced(pool: PoolName, cause: DisplacedCause) -> IntCounter,
        "hookgate_displaced_total",
        "Connections and requests that gave way to others because a pool was full, by pool and cause.",
        "connections and requests that waited for their clients and [gave way](../concepts/limits.md#who-gives-way) to \
         others, because the pool was full";

    tls_handshakes(listener: &str, result: OperationResult, reason: Option<HandshakeError>) -> IntCounter,
        "hookgate_tls_handshakes_total",
        "TLS handshakes with clients by result, and by the reason of an error.",
        "TLS handshakes. `reason` is empty for a success";

    http2_connection_errors() -> IntCounter,
        "hookgate_http2_connection_errors_total",
        "HTTP/2 connections closed because the client broke the protocol.",
        "HTTP/2 connections that were closed with GOAWAY because the client broke the protocol or a limit; the log has the \
         error";

    store_operations(kind: EntryKind, result: StoreOperationResult) -> IntCounter,
        "hookgate_store_operations_total",
        "Operations of the store on replay ids and idempotency keys, by kind and result.",
        "reservations of replay ids and idempotency keys, and how they end";

    store_losses(result: StoreLoss) -> IntCounter,
        "hookgate_store_losses_total",
        "Events in which Redis may have lost entries, and whether the gateways have written them again.",
        "restarts and promotions of Redis, and whether they lost entries for good";

    store_volatile_servers() -> IntGauge,
        "hookgate_store_volatile_servers",
        "Redis servers in use that keep no append-only file, so that a restart loses entries.",
        "0, or a restart of Redis loses every entry since its last snapshot";

    store_entries() -> IntGauge,
        "hookgate_store_entries",
        "Replay ids and idempotency keys stored in this process; 0 with Redis.",
        "ids and keys that this process holds; 0 with Redis";

    store_capacity() -> IntGauge,
        "hookgate_store_capacity",
        "Replay ids and idempotency keys that this process can store; 0 with Redis.",
        "the `capacity` of a memory or embedded store, 0 with Redis. Each route that uses the store has an equal share, and gets `store_full` when \
         that is used up";

    panics() -> IntCounter,
        "hookgate_panics_total",
        "Tasks that panicked, which is a bug. Their requests were not forwarded, or got no response.",
        "tasks that panicked, which is a bug: please report the log's line `panic`. Other requests continue";

    log_lines_dropped(kind: LogLineKind) -> IntCounter,
        "hookgate_log_lines_dropped_total",
        "Log lines dropped because the reader of standard output was too slow.",
        "log lines dropped because the queue of 4 MiB was full: the reader of standard output has stopped, or cannot \
         keep up";

    token_cache_lookups(result: SignatureCheck) -> IntCounter,
        "hookgate_token_cache_lookups_total",
        "Tokens with a valid signature, by whether the verification was cached (hit) or not (miss).",
        "tokens with a valid signature. The cache has two thousand tokens of up to 4 KiB for each issuer, and only \
         tokens that were seen twice";

    filtered_requests(route: &str, rule: &str, result: FilterResult) -> IntCounter,
        "hookgate_filtered_requests_total",
        "Verified events that a rule of the route's filter matches, by rule and result.",
        "verified events that a rule of [`filter`](../concepts/filter.md) matches";

    route_dry_run_until_timestamp(route: &str) -> Gauge,
        "hookgate_route_dry_run_until_timestamp_seconds",
        "Unix time at which the dry run of a route ends; absent without one.",
        "when the [dry run](../how-to/dry-run.md) of a route with `mode: dry_run` ends; until then it rejects no request. A time \
         in the past is that of a dry run that has ended";

    secret_last_used_timestamp(route: &str, index: &str) -> Gauge,
        "hookgate_secret_last_used_timestamp_seconds",
        "Unix time at which one of a route's secrets last verified a request; index counts from 0 in the order of the \
         file.",
        "for key rotation: when one of the route's shared secrets or public keys last verified a request; `index` \
         counts from 0 in the order of the file, through all schemes of the route, and within an issuer of a `jwt`. An \
         old secret whose time no longer changes can be removed";

    upstream_exposed(upstream: &str) -> IntGauge,
        "hookgate_upstream_exposed",
        "1 if the port of an upstream on loopback also listens on another address, 0 if not.",
        "1 if the port of an upstream on loopback also listens on another address, where requests can bypass the gateway; \
         looked at every minute. `upstream` is its URL";

    jwks_keys(issuer: &str) -> IntGauge,
        "hookgate_jwks_keys",
        "Usable keys in an issuer's fetched JWKS.",
        "keys held for an issuer whose keys are fetched; of a preset its name, with `#2` and so on for a second \
         address";

    jwks_last_success_timestamp(issuer: &str) -> Gauge,
        "hookgate_jwks_last_success_timestamp_seconds",
        "Unix time of the last successful fetch of an issuer's JWKS.",
        "the time of the last successful fetch; absent before it";

    jwks_refreshes(issuer: &str, result: OperationResult) -> IntCounter,
        "hookgate_jwks_refreshes_total",
        "Fetches of an issuer's JWKS by result.",
        "fetches of an issuer's keys";

    certificate_fetches(issuer: &str, result: OperationResult) -> IntCounter,
        "hookgate_signing_certificate_fetches_total",
        "Fetches of signing certificates, and of URLs that confirm subscriptions, by result.",
        "fetches of certificates that requests name by their URLs, and of URLs that confirm subscriptions; `issuer` is the \
         preset, or `signature`. Any client can cause an `error`, by the URL of a file that is absent";

    config_reloads(result: Reloaded) -> IntCounter,
        "hookgate_config_reloads_total",
        "Reloads of the configuration by result.",
        "reloads of the configuration";

    config_last_reload_successful() -> IntGauge,
        "hookgate_config_last_reload_successful",
        "1 if the configuration on disk is active, 0 if the last reload was rejected.",
        "1 if the configuration on disk is active, 0 if it was rejected";

    config_last_reload_success_timestamp() -> Gauge,
        "hookgate_config_last_reload_success_timestamp_seconds",
        "Unix time at which the active configuration was loaded.",
        "when a configuration was last applied";

    revocation_entries(file: &str) -> IntGauge,
        "hookgate_revocation_entries",
        "Token ids, subjects and key ids on the active revocation list.",
        "names on the active revocation list; `file` as in `revocation`";

    revocation_last_reload_successful(file: &str) -> IntGauge,
        "hookgate_revocation_last_reload_successful",
        "1 if the revocation list on disk is active, 0 if the last reload was rejected.",
        "1 if the revocation list on disk is active, 0 if it was rejected";

    revocation_reloads(file: &str, result: Reloaded) -> IntCounter,
        "hookgate_revocation_reloads_total",
        "Reloads of a changed revocation list by result.",
        "reloads of revocation lists that have changed";

    tenants(folder: &str) -> IntGauge,
        "hookgate_tenants",
        "Tenants of a folder whose secrets are active.",
        "tenants with a secret; `folder` as in `dir` of `secrets`";

    tenants_last_reload_successful(folder: &str) -> IntGauge,
        "hookgate_tenants_last_reload_successful",
        "1 if every file of the folder is active, 0 if one was rejected or the folder was not read.",
        "1 if every file of the folder is active, 0 if one was rejected or the folder was not read; the log has their names";

    certificate_expiry_timestamp(name: &str) -> Gauge,
        "hookgate_certificate_expiry_timestamp_seconds",
        "Unix time at which a certificate of the gateway expires; name is its file, or its DNS name with ACME.",
        "when a certificate of the gateway expires: of a listener, or `client_certificate` of an upstream. `name` is its \
         file, or a name of `tls.acme`, with 0 while it has no certificate";

    certificate_not_before_timestamp(name: &str) -> Gauge,
        "hookgate_certificate_not_before_timestamp_seconds",
        "Unix time from which a certificate of the gateway is valid; name as in hookgate_certificate_expiry_timestamp_seconds.",
        "from when on a certificate of the gateway is valid; the difference to its expiry is its lifetime, of which the alerts \
         take a part. `name` as in `hookgate_certificate_expiry_timestamp_seconds`";

    acme_orders(result: OperationResult) -> IntCounter,
        "hookgate_acme_orders_total",
        "Attempts to obtain or renew a certificate from an ACME server, by result.",
        "attempts to obtain or renew a certificate of [`tls.acme`](../concepts/tls.md#acme); after an error the old \
         certificate stays in use, and the log and `/status` have the reason";

    build_info(version: &str) -> IntGauge,
        "hookgate_build_info",
        "Always 1; the label is the running version.",
        "always 1";
}

/// A time as the value of a gauge.
#[expect(clippy::cast_precision_loss, reason = "a Unix time is exact in 53 bits for 285 million years")]
pub(super) fn seconds(time: UnixTime) -> f64 {
    time.seconds() as f64
}
