//! The upper bound of the process's memory, as a formula over the configuration: docs/concepts/limits.md has each
//! term. `check` prints the sum, and the start warns where the memory limit of the process is lower.
//!
//! The numbers of bytes are measured, rounded up. Not in the sum: responses of upstreams that clients do not read, which
//! only a client that a route admits can cause.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::worker_count;
use crate::auth::Policy;
use crate::config::Config;
use crate::proxy::capture::WRITERS;
use crate::proxy::request_body::WAITING_IN_ALL;
use crate::route::{Limit, Route};
use crate::server::connection::RECEIVE_WINDOW;
use crate::server::framing::SLACK;
use crate::settings::StoreBackend;
use crate::snapshot::{ListenerLimits, ListenerSettings};
use crate::store::memory::REPLY_BYTES;
use crate::telemetry::QUEUE_BYTES;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The program, its threads and its configuration without routes.
const BASE: u64 = 24 * MIB;

/// A worker with its runtime and its connections to the upstreams.
const WORKER: u64 = 2 * MIB;

/// An open connection without TLS, and one with TLS.
const PLAIN_CONNECTION: u64 = 20 * KIB;
const TLS_CONNECTION: u64 = 36 * KIB;

/// Bytes for each byte of request headers that have not ended: the parser's buffer, which grows by doubling, and the
/// incomplete line in the framing validator.
const HEADERS_FACTOR: u64 = 3;

/// An open HTTP/2 stream.
const STREAM: u64 = 4 * KIB;

/// Bytes for each byte of a buffered body, whose buffer grows by doubling.
const BODY_FACTOR: u64 = 2;

/// Bytes for each byte of a body that is parsed as JSON or a form; each worker parses one at a time.
const PARSED_FACTOR: u64 = 32;

/// The consumed quotas of one kind of limit: 131,072 keys.
const COUNTERS: u64 = 8 * MIB;

/// The verified tokens that are cached for an issuer: 2,048 of up to 4 KiB, parsed.
const TOKEN_CACHE: u64 = 24 * MIB;

/// The keys of an issuer, and a key set of 512 KiB while it is fetched and parsed.
const KEY_SET: u64 = 4 * MIB;

/// The certificates of one source, and 256 files of 64 KiB with their connections while they are fetched; the 256 URLs of
/// confirmed subscriptions, and 32 responses of 16 KiB.
const CERTIFICATES: u64 = 36 * MIB;

/// An entry of the store.
const STORE_ENTRY: u64 = 80;

/// The page cache of the embedded store.
const STORE_CACHE: u64 = 64 * MIB;

/// The latest changes that are kept for Redis: 65,536 of 512 bytes, and 16 MiB of stored responses.
const STORE_TAIL: u64 = 48 * MIB;

/// An open tunnel: its buffers, and its connection to the upstream with TLS.
const TUNNEL: u64 = 64 * KIB;

/// A tenant with four files, each with a secret of at most 2 KiB.
const TENANT: u64 = 12 * KIB;

/// A route with its metrics and two renderings of them.
const ROUTE: u64 = 64 * KIB;

/// The sessions that a TLS listener stores for resumption.
const TLS_SESSIONS: u64 = MIB;

/// One summand of the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTerm {
    /// Its name in the output of `check`.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: u64,
}

/// The terms of the bound that are not zero.
pub fn memory_terms(config: &Config) -> Vec<MemoryTerm> {
    let (snapshot, process) = (&config.snapshot, &config.process);
    let routes: Vec<&Route> = snapshot.routes.routes().map(Arc::as_ref).collect();
    let workers = amount(worker_count(process.workers));
    let largest = |chosen: fn(&Route) -> bool| {
        routes.iter().filter(|route| chosen(route)).map(|route| route.max_body).max().unwrap_or_default()
    };
    let largest_captured = largest(|route| route.capture.is_some());
    let terms = [
        ("base", BASE + workers * WORKER),
        ("connections", snapshot.listeners.iter().map(connections).fold(0, u64::saturating_add)),
        ("buffered bodies", snapshot.max_buffered_bytes.saturating_mul(BODY_FACTOR)),
        ("waiting requests", WAITING_IN_ALL),
        ("parsed bodies", workers.saturating_mul(PARSED_FACTOR).saturating_mul(largest(parses_body))),
        ("log", amount(QUEUE_BYTES)),
        ("captured requests", largest_captured.saturating_mul(amount(WRITERS))),
        ("rate limits", rate_limits(&routes) * COUNTERS),
        ("cached tokens", token_caches(&routes) * TOKEN_CACHE),
        ("key sets", amount(config.handles.remote_keys.len()) * KEY_SET),
        ("signing certificates", amount(config.handles.signing_certificates.len()) * CERTIFICATES),
        ("store", store(config, &routes)),
        ("tunnels", tunnels(&routes).saturating_mul(TUNNEL)),
        ("tenants", tenants(config)),
        ("routes and metrics", amount(routes.len()) * ROUTE),
    ];
    let terms = terms.into_iter().filter(|(_, bytes)| *bytes > 0);
    terms.map(|(name, bytes)| MemoryTerm { name, bytes }).collect()
}

/// The bound in one line, with its largest terms first.
pub fn memory_line(terms: &[MemoryTerm]) -> String {
    let mut terms = terms.to_vec();
    terms.sort_by_key(|term| std::cmp::Reverse(term.bytes));
    let parts: Vec<String> = terms.iter().map(|term| format!("{} {}", term.name, mebibytes(term.bytes))).collect();
    format!("memory when every limit is reached at once: {} ({})", mebibytes(sum(&terms)), parts.join(", "))
}

/// A warning if the bound exceeds the limit.
pub fn memory_warning(terms: &[MemoryTerm], limit: Option<u64>) -> Option<String> {
    let limit = limit.filter(|limit| *limit < sum(terms))?;
    Some(format!(
        "memory: needs {} when every limit is reached at once, more than the {} of this process or container: lower `max_connections`, `max_concurrent_streams`, \
         `max_headers_size` or `max_buffered_bytes`, or raise the limit",
        mebibytes(sum(terms)),
        mebibytes(limit),
    ))
}

/// The memory limit of this process: the lowest of its control group and those above it. `root` is /sys/fs/cgroup, and
/// `membership` the content of /proc/self/cgroup (cgroups(7)); both versions are read.
pub fn cgroup_limit(root: &Path, membership: &str) -> Option<u64> {
    let limits = membership.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            "memory" => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors().map(|group| root.join(group).join(file));
        groups.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).min()
    });
    limits.min()
}

/// The memory limit of this process.
pub fn process_limit() -> Option<u64> {
    cgroup_limit(Path::new("/sys/fs/cgroup"), &std::fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn connections(listener: &ListenerSettings) -> u64 {
    let (limits, most) = (&listener.limits, amount(listener.limits.max_connections));
    match listener.tls {
        Some(_) => most.saturating_mul(tls_connection(limits)).saturating_add(TLS_SESSIONS),
        None => most.saturating_mul(plain_connection(limits)),
    }
}

/// An HTTP/1 connection with incomplete headers of the longest size.
fn plain_connection(limits: &ListenerLimits) -> u64 {
    PLAIN_CONNECTION + HEADERS_FACTOR * amount(SLACK) * u64::from(limits.max_headers_size)
}

/// The same with TLS, or an HTTP/2 connection with incomplete headers, which are also held decoded, all its streams, and
/// body bytes that were not read yet.
fn tls_connection(limits: &ListenerLimits) -> u64 {
    let headers = 2 * amount(SLACK) * u64::from(limits.max_headers_size);
    let streams = u64::from(limits.max_concurrent_streams) * STREAM;
    let http1 = plain_connection(limits) - PLAIN_CONNECTION;
    TLS_CONNECTION + http1.max(headers + u64::from(RECEIVE_WINDOW) + streams)
}

/// Whether a body may be parsed for the decision, its replay id or the filter.
fn parses_body(route: &Route) -> bool {
    let headers_alone = |policy: &&Policy| {
        matches!(policy, Policy::Jwt(_) | Policy::Token(_) | Policy::ClientCertificate(_) | Policy::Public)
    };
    let filters = route.filter.iter().any(|rule| rule.source.is_in_body());
    filters || !route.challenges.is_empty() || !route.rules.policy.leaves().iter().all(headers_alone)
}

/// The secrets of the tenants of all folders.
fn tenants(config: &Config) -> u64 {
    config.handles.tenants.iter().fold(0, |sum, folder| sum.saturating_add(amount(folder.max_tenants) * TENANT))
}

/// The number of kinds of limits whose consumed quotas are kept in numbers that clients determine: issuers, subjects,
/// senders, and addresses.
fn rate_limits(routes: &[&Route]) -> u64 {
    let used = |limit: fn(&Route) -> bool| u64::from(routes.iter().any(|route| limit(route)));
    used(|route| route.limits.issuer != Limit::default())
        + used(|route| route.limits.subject != Limit::default())
        + used(|route| route.limits.sender != Limit::default())
        + used(|route| route.limits.failed_auth.is_some())
        + used(|route| !route.challenges.is_empty())
}

/// The tunnels that may be open.
fn tunnels(routes: &[&Route]) -> u64 {
    routes.iter().filter_map(|route| route.websocket.as_ref()).map(|rule| u64::from(rule.max_tunnels)).sum()
}

/// The number of caches of verified tokens, one for each issuer.
fn token_caches(routes: &[&Route]) -> u64 {
    let leaves = routes.iter().flat_map(|route| route.rules.policy.leaves());
    let issuers = leaves.flat_map(|policy| match policy {
        Policy::Jwt(policy) => policy.issuers.as_slice(),
        Policy::AllOf(_)
        | Policy::AnyOf(_)
        | Policy::Detached(_)
        | Policy::MessageSignature(_)
        | Policy::Signature(_)
        | Policy::ClientCertificate(_)
        | Policy::Token(_)
        | Policy::Public => &[],
    });
    amount(issuers.map(|issuer| Arc::as_ptr(&issuer.token_cache)).collect::<BTreeSet<_>>().len())
}

/// The entries of a store in this process, and its stored responses.
fn store(config: &Config, routes: &[&Route]) -> u64 {
    let Some(store) = &config.process.store else { return 0 };
    let entries = amount(store.capacity).saturating_mul(STORE_ENTRY);
    let idempotent = |route: &&Route| route.duplicates.as_ref().is_some_and(|rules| rules.idempotency.is_some());
    let responses = if routes.iter().any(idempotent) { amount(REPLY_BYTES) } else { 0 };
    match store.backend {
        StoreBackend::Memory => entries.saturating_add(responses),
        StoreBackend::Embedded { .. } => entries.saturating_add(responses + STORE_CACHE),
        StoreBackend::Redis(_) => STORE_TAIL,
    }
}

fn sum(terms: &[MemoryTerm]) -> u64 {
    terms.iter().fold(0, |sum, term| sum.saturating_add(term.bytes))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

fn amount(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Handles};

    const USUAL: &str = "workers: 3
max_buffered_bytes: 10MiB
TOP
listeners: [{ address: \"127.0.0.1:0\", plaintext: true, limits: { max_connections: 1000, max_headers_size: 10KiB } }]
routes:
  - name: a
    match: { path: /a }
    upstream: { url: \"http://127.0.0.1:9\" }
    AUTH
    limits: { max_body_size: 2MiB LIMITS }
";

    fn terms(top: &str, auth: &str, limits: &str) -> Vec<MemoryTerm> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("gateway.yaml");
        std::fs::write(folder.path().join("secret"), "a secret of a sender").unwrap();
        std::fs::create_dir(folder.path().join("tenants")).unwrap();
        let usual = if auth == TENANTS { USUAL.replace("path: /a", "path: \"/{tenant}\"") } else { USUAL.to_owned() };
        std::fs::write(&path, usual.replace("TOP", top).replace("AUTH", auth).replace("LIMITS", limits)).unwrap();
        memory_terms(&config::load(&path, &Handles::default()).unwrap_or_else(|errors| panic!("{errors}")))
    }

    fn term(terms: &[MemoryTerm], name: &str) -> u64 {
        terms.iter().find(|term| term.name == name).map_or(0, |term| term.bytes)
    }

    const PUBLIC: &str = "auth: public";
    const GITHUB: &str = "auth: { preset: github, secret: { file: secret } }";
    const TENANTS: &str = "auth: { preset: github, secrets: { dir: tenants } }";
    const JWT: &str = "auth: { jwt: { issuer: a, audience: x } }\n    replay_protection: disabled";
    const ISSUER: &str =
        "issuers: { a: { issuer: https://a.test/, algorithms: [RS256], jwks: { url: \"https://a.test/\" } } }";

    #[test]
    fn each_term_follows_its_key() {
        let usual = terms("", PUBLIC, "");
        for (name, bytes) in [
            ("base", 30 * MIB),
            ("connections", 1000 * (20 + 3 * 20) * KIB),
            ("buffered bodies", 20 * MIB),
            ("waiting requests", 64 * MIB),
            ("log", 4 * MIB),
            ("routes and metrics", 64 * KIB),
        ] {
            assert_eq!(term(&usual, name), bytes, "{name}");
        }
        assert_eq!(usual.len(), 6, "{usual:?}");
        let memory = "store: { type: memory, capacity: 1000 }";
        let redis = "store: { type: redis, url: \"redis://127.0.0.1\" }";
        let embedded = "store: { type: embedded, path: x, capacity: 1000 }";
        let idempotent = format!("{GITHUB}\n    idempotency: {{ key: {{ header: Idempotency-Key }} }}");
        let capture = format!("{PUBLIC}\n    capture: {{ dir: x }}");
        for (name, bytes, top, auth, limits) in [
            ("captured requests", 16 * MIB, "", capture.as_str(), ""),
            ("parsed bodies", 3 * 32 * 2 * MIB, memory, GITHUB, ""),
            ("rate limits", 8 * MIB, "", PUBLIC, ", failed_auth_rate: 1/s"),
            ("rate limits", 16 * MIB, ISSUER, JWT, ", per_issuer: { rate: 1/s }, per_subject: { rate: 1/s }"),
            ("rate limits", 8 * MIB, ISSUER, JWT, ", per_sender: { rate: 1/s }"),
            ("cached tokens", 24 * MIB, ISSUER, JWT, ""),
            ("tunnels", 10 * 64 * KIB, memory, &format!("{GITHUB}\n    websocket: {{ max_tunnels: 10 }}"), ""),
            ("key sets", 4 * MIB, ISSUER, JWT, ""),
            ("tenants", 12_000 * KIB, "", TENANTS, ""),
            ("store", 80_000, memory, GITHUB, ""),
            ("store", 80_000 + 64 * MIB, embedded, GITHUB, ""),
            ("store", 48 * MIB, redis, GITHUB, ""),
            ("store", 80_000 + 64 * MIB, memory, &idempotent, ""),
        ] {
            assert_eq!(term(&terms(top, auth, limits), name), bytes, "{name}: {top} {auth} {limits}");
        }
    }

    #[test]
    fn a_tls_connection_has_headers_or_streams() {
        let streams = |streams| ListenerLimits {
            max_headers_size: 16 << 10,
            max_concurrent_streams: streams,
            ..ListenerLimits::default()
        };
        assert_eq!(tls_connection(&streams(100)), (36 + 64 + 64 + 400) * KIB);
        let large = ListenerLimits { max_headers_size: 256 << 10, ..streams(1) };
        assert_eq!(tls_connection(&large), (36 + 3 * 512) * KIB);
    }

    #[test]
    fn a_bound_above_the_limit_is_a_warning() {
        let terms = [MemoryTerm { name: "log", bytes: MIB }, MemoryTerm { name: "base", bytes: 2 * MIB + 1 }];
        assert_eq!(memory_line(&terms), "memory when every limit is reached at once: 4 MiB (base 3 MiB, log 1 MiB)");
        assert_eq!(memory_warning(&terms, None), None);
        assert_eq!(memory_warning(&terms, Some(3 * MIB + 1)), None);
        let warning = memory_warning(&terms, Some(3 * MIB)).unwrap();
        assert!(
            warning.starts_with("memory: needs 4 MiB when every limit is reached at once, more than the 3 MiB of this"),
            "{warning}"
        );
    }

    #[test]
    fn the_limit_is_the_lowest_of_the_control_groups() {
        let folder = tempfile::TempDir::new().unwrap();
        let write = |file: &str, text: &str| {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let limit = |membership| cgroup_limit(folder.path(), membership);
        assert_eq!(limit("0::/\n"), None);
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "268435456\n");
        assert_eq!(limit("0::/a/b\n"), Some(256 * MIB));
        // In a container, its group is the root.
        write("memory.max", "1048576\n");
        assert_eq!(limit("0::/\n"), Some(MIB));
        write("memory/c/memory.limit_in_bytes", "4096\n");
        assert_eq!(limit("4:memory:/c\n2:cpu:/\nno group\n"), Some(4096));
    }
}
