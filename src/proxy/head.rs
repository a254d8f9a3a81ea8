//! Validates request line and headers before anything else reads them: one host, an unambiguous target, size limits. It
//! rejects requests and rewrites nothing. Called by `route_request`.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Version};

use crate::auth::quoted::quoted;
use crate::failure::Failure;
use crate::reason::Reason;
use crate::route::table::{RoutingTable, Unrouted};
use crate::route::{AmbiguousPath, Route, validate_path, validate_slashes};
use crate::snapshot::ListenerLimits;

/// The longest request target, in bytes (RFC 9110 §4.1 asks for 8,000 at least).
pub const MAX_URI: usize = 8 * 1024;

/// Target of a request: its decoded path, and its host, which is the same wherever the request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    authority: Authority,
    path: String,
    encoded_slashes: bool,
}

impl RequestTarget {
    /// Validates a request against the limits of its listener.
    ///
    /// # Errors
    /// `MissingHost`; `BadRequest` for a repeated or contradicting host (RFC 9112 §3.2), for CONNECT and TRACE, for a
    /// scheme other than http and https, and for spaces around a value, which only HTTP/2 can carry;
    /// `AmbiguousFraming` for a length that is repeated or has leading zeros; `AmbiguousPath`; `UriTooLong` and `HeadersTooLarge` beyond
    /// the listener's limits.
    pub fn evaluate(head: &Parts, limits: &ListenerLimits) -> Result<Self, Failure> {
        check_size(head, limits)?;
        let bad = |cause: &'static str| Err(Failure::detailed(Reason::BadRequest, cause));
        if head.headers.values().any(has_blanks_around) {
            return bad("a header value with spaces around it");
        }
        if has_another_scheme(head) {
            return bad("a scheme other than http and https");
        }
        if has_ambiguous_length(head) {
            return Err(Failure::detailed(Reason::AmbiguousFraming, "Content-Length twice, or not a plain number"));
        }
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return bad("the method CONNECT or TRACE");
        }
        let authority = one_authority(head)?;
        let path = head.uri.path();
        let (path, encoded_slashes) = match validate_path(path) {
            Ok(path) => (path.into_owned(), false),
            Err(AmbiguousPath(cause)) => {
                let slashed = validate_slashes(path);
                (slashed.map_err(|_| Failure::detailed(Reason::AmbiguousPath, cause))?, true)
            }
        };
        Ok(Self { authority, path, encoded_slashes })
    }

    /// The path, percent-decoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The route of the request. One with encoded slashes has a route only if that allows them.
    ///
    /// # Errors
    /// Those of [`RoutingTable::find`]; `AmbiguousPath`.
    pub fn route<'r>(&self, routes: &'r RoutingTable, method: &Method) -> Result<&'r Arc<Route>, Failure> {
        let found = routes.find(self.host(), &self.path, method);
        if self.encoded_slashes && !matches!(found, Ok(route) if route.matches.encoded_slashes) {
            let cause = "an encoded slash (%2F) without `match.allow_encoded_slashes`";
            return Err(Failure::detailed(Reason::AmbiguousPath, cause));
        }
        found.map_err(|unrouted| match unrouted {
            Unrouted::NoRoute => {
                let what = if routes.has_host(self.host()) { "has this path" } else { "has this host" };
                Failure::detailed(Reason::NoRoute, format!("host {}: no route {what}", quoted(self.host())))
            }
            Unrouted::MethodNotAllowed(_) | Unrouted::Ambiguous => Failure::Unrouted(unrouted),
        })
    }

    /// Host and port as received.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

fn check_size(head: &Parts, limits: &ListenerLimits) -> Result<(), Failure> {
    if target_size(head) > MAX_URI {
        return Err(Reason::UriTooLong.into());
    }
    if size(head) > usize::try_from(limits.max_headers_size).unwrap_or(usize::MAX) {
        return Err(Failure::detailed(Reason::HeadersTooLarge, "max_headers_size"));
    }
    if head.headers.len() > limits.max_headers_count {
        return Err(Failure::detailed(Reason::HeadersTooLarge, "max_headers_count"));
    }
    Ok(())
}

fn target_size(head: &Parts) -> usize {
    head.uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// Size of target and headers in bytes, with 32 bytes for each header on top of its name and value as in RFC 9113
/// §6.5.2.
fn size(head: &Parts) -> usize {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    fields.fold(target_size(head), usize::saturating_add)
}

/// Memory of one header in a `HeaderMap`, in addition to its name and value.
const HEADER: usize = 104;

/// Memory that target and headers hold, in bytes. In HTTP/2, all occurrences of a value that is in the dynamic table (RFC
/// 7541 §2.3.2) share its bytes: headers of 36 KiB, sent as 60 bytes, hold little more than that value.
pub fn memory(head: &Parts) -> usize {
    let mut values: Vec<_> = head.headers.values().map(|value| (value.as_bytes().as_ptr(), value.len())).collect();
    values.sort_unstable();
    values.dedup();
    let names = head.headers.keys().map(|name| name.as_str().len());
    let bytes =
        names.chain(values.into_iter().map(|(_, length)| length)).fold(target_size(head), usize::saturating_add);
    bytes.saturating_add(head.headers.len().saturating_mul(HEADER))
}

/// Malformed in HTTP/2 (RFC 9113 §8.2.1), and lost in HTTP/1: the upstream would not see the value that was verified.
fn has_blanks_around(value: &HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.as_bytes().first()) || blank(value.as_bytes().last())
}

/// A scheme is in the absolute form of HTTP/1 (RFC 9112 §3.2.2), and in each request of HTTP/2 (RFC 9113 §8.3.1), where
/// it is lost if the target has no host.
fn has_another_scheme(head: &Parts) -> bool {
    match head.uri.scheme_str() {
        Some(scheme) => !matches!(scheme, "https" | "http"),
        None => head.version == Version::HTTP_2 && head.uri.authority().is_some(),
    }
}

/// Implementations read a repeated length or one with leading zeros differently (RFC 9110 §8.6): octal, the first, the
/// last or none. HTTP/2 would carry such a length into HTTP/1.
fn has_ambiguous_length(head: &Parts) -> bool {
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let (first, second) = (lengths.next(), lengths.next());
    let is_plain = |length: &[u8]| {
        length == b"0" || (length.iter().all(u8::is_ascii_digit) && !length.is_empty() && !length.starts_with(b"0"))
    };
    second.is_some() || first.is_some_and(|length| !is_plain(length))
}

/// The host of the target (HTTP/2, absolute form) and the `Host` header must be equal, or a proxy and an upstream could
/// each use a different one.
///
/// # Errors
/// `MissingHost`; `BadRequest` for a repeated or contradicting host.
pub fn one_authority(head: &Parts) -> Result<Authority, Failure> {
    let mut fields = head.headers.get_all(HOST).iter();
    let (field, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(Failure::detailed(Reason::BadRequest, "two Host headers"));
    }
    let host = field.map(|field| Authority::try_from(field.as_bytes()).ok());
    let authority = match (head.uri.authority(), host) {
        (Some(target), None) if head.version == Version::HTTP_2 => plain(target.clone()),
        // HTTP/1.1 requires the header with the absolute form too (RFC 9112 §3.2).
        (_, None) => return Err(Reason::MissingHost.into()),
        (Some(target), Some(Some(host))) if target.as_str().eq_ignore_ascii_case(host.as_str()) => plain(host),
        (None, Some(Some(host))) => plain(host),
        (_, Some(_)) => None,
    };
    let cause = "a Host header that is no host, or contradicts the target";
    authority.ok_or_else(|| Failure::detailed(Reason::BadRequest, cause))
}

/// User information is not allowed in a request's host (RFC 9110 §4.2.4).
fn plain(authority: Authority) -> Option<Authority> {
    let bare = !authority.as_str().contains('@') && !authority.host().is_empty();
    bare.then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn evaluate(request: http::request::Builder) -> Result<RequestTarget, Failure> {
        RequestTarget::evaluate(&request.body(()).unwrap().into_parts().0, &ListenerLimits::default())
    }

    fn get(uri: &str) -> http::request::Builder {
        Request::builder().uri(uri)
    }

    #[test]
    fn one_host_is_enough_and_two_must_agree() {
        assert_eq!(evaluate(get("/a").header(HOST, "a.example:8443")).unwrap().host(), "a.example");
        assert_eq!(evaluate(get("https://a.example/a").version(Version::HTTP_2)).unwrap().host(), "a.example");
        assert!(evaluate(get("https://a.example/a").header(HOST, "A.example")).is_ok());
    }

    #[test]
    fn no_host_two_hosts_and_contradicting_hosts_are_rejected() {
        for request in [get("/a"), get("https://a.example/a"), get("/a").version(Version::HTTP_2)] {
            assert!(matches!(evaluate(request), Err(failure) if matches!(failure.reason(), Reason::MissingHost)));
        }
        let requests = [
            get("/a").header(HOST, "a.example").header(HOST, "a.example"),
            get("https://a.example/a").header(HOST, "b.example"),
            get("/a").header(HOST, ""),
            get("/a").header(HOST, "user@a.example"),
            get("/a").header(HOST, "a.example/x"),
        ];
        for request in requests {
            assert!(matches!(evaluate(request), Err(failure) if matches!(failure.reason(), Reason::BadRequest)));
        }
    }

    #[test]
    fn connect_and_trace_are_rejected() {
        let host = || get("/a").header(HOST, "a.example");
        for request in [host().method("TRACE"), host().method("CONNECT")] {
            assert!(matches!(evaluate(request), Err(failure) if matches!(failure.reason(), Reason::BadRequest)));
        }
        assert!(evaluate(host()).is_ok());
    }

    #[test]
    fn an_offer_that_a_server_may_ignore_is_no_reason_to_reject() {
        for offer in ["h2c", "H2C", "TLS/1.0", "h2c, TLS/1.0", "IRC/6.9, RTA/x11", "", "websockets", "websocket"] {
            assert!(
                evaluate(get("/a").header(HOST, "a.example").header(http::header::UPGRADE, offer)).is_ok(),
                "{offer}"
            );
        }
    }

    #[test]
    fn values_that_only_http_2_can_carry_are_rejected() {
        for value in [" a", "a ", "\ta", "a\t"] {
            let request = get("https://a.example/a").version(Version::HTTP_2).header("x", value);
            assert!(
                matches!(evaluate(request), Err(failure) if matches!(failure.reason(), Reason::BadRequest)),
                "{value:?}"
            );
        }
        assert!(matches!(
            evaluate(get("ftp://a.example/a").version(Version::HTTP_2)),
            Err(failure) if failure.reason() == Reason::BadRequest
        ));
        assert!(evaluate(get("/a").version(Version::HTTP_2).header(HOST, "a.example")).is_ok());
        assert!(evaluate(get("http://a.example/a").version(Version::HTTP_2).header("x", "a b")).is_ok());
    }

    #[test]
    fn another_scheme_is_rejected_in_both_versions() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let run = |uri| evaluate(get(uri).version(version).header(HOST, "a.example"));
            assert!(matches!(run("ftp://a.example/a"), Err(failure) if matches!(failure.reason(), Reason::BadRequest)));
            assert!(run("http://a.example/a").is_ok() && run("HTTPS://a.example/a").is_ok());
        }
    }

    #[test]
    fn a_length_is_there_once_and_has_no_leading_zeros() {
        let run = |lengths: &[&str]| {
            let request = get("/a").header(HOST, "a.example");
            evaluate(lengths.iter().fold(request, |request, length| request.header(CONTENT_LENGTH, *length)))
        };
        for good in [&[][..], &["0"], &["2"], &["20"]] {
            assert!(run(good).is_ok(), "{good:?}");
        }
        for bad in [&["2", "2"][..], &["000"], &["002"], &["2, 2"], &["+2"], &["2 "], &[""]] {
            assert!(
                matches!(run(bad), Err(failure) if matches!(failure.reason(), Reason::AmbiguousFraming | Reason::BadRequest)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn long_targets_and_large_headers_are_rejected() {
        let long = format!("/{}", "a".repeat(MAX_URI));
        assert!(
            matches!(evaluate(get(&long).header(HOST, "a")), Err(failure) if matches!(failure.reason(), Reason::UriTooLong))
        );
        let large = get("/a").header(HOST, "a").header("x", "a".repeat(40_000));
        assert!(matches!(evaluate(large), Err(failure) if matches!(failure.reason(), Reason::HeadersTooLarge)));
        let many = (0..101).fold(get("/a").header(HOST, "a"), |request, _| request.header("x", "1"));
        assert!(matches!(evaluate(many), Err(failure) if matches!(failure.reason(), Reason::HeadersTooLarge)));
    }

    /// Sixty bytes of HTTP/2 can name a value of 4 KiB nine times: it is held once, and it is not free.
    #[test]
    fn a_value_that_headers_share_is_counted_once() {
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(vec![b'a'; 4000])).unwrap();
        let of = |value: &dyn Fn() -> HeaderValue| {
            let request = (0..9).fold(get("/a").header(HOST, "a"), |request, _| request.header("x", value()));
            memory(&request.body(()).unwrap().into_parts().0)
        };
        assert!((4_000..6_000).contains(&of(&|| value.clone())));
        assert!(of(&|| HeaderValue::from_bytes(&[b'a'; 4000]).unwrap()) > 36_000);
    }
}
