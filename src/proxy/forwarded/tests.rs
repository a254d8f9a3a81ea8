use std::sync::Arc;

use super::*;
use crate::proxy::connection_info::ForwardedInfo;
use crate::snapshot::ListenerLimits;

fn connection(address: &str) -> ConnectionInfo {
    ConnectionInfo {
        address: address.parse::<SocketAddr>().unwrap().into(),
        named: true,
        secure: false,
        forwarded: ForwardedInfo::default(),
        listener: 0,
        client_certificate: None,
        server_name: None,
        limits: Arc::new(ListenerLimits::default()),
        progress: Arc::default(),
    }
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn trusted() -> Vec<IpNet> {
    ["10.0.0.0/8", "2001:db8:f::/48"].map(|net| net.parse().unwrap()).to_vec()
}

/// The client of a request that 10.0.0.1 has sent, and the proxies after the client.
fn resolve(fields: &[(&'static str, &str)]) -> (String, String) {
    let connection = connection("10.0.0.1:9");
    let headers = headers(fields);
    let resolved = resolve_client(&connection, &headers, &trusted());
    let via: Vec<_> = resolved.forwarded.via.iter().map(ToString::to_string).collect();
    (resolved.address.to_string(), via.join(" "))
}

#[test]
fn the_client_is_the_rightmost_address_that_is_no_proxy_s() {
    for (fields, client, via) in [
        (&["198.51.100.7"][..], "198.51.100.7:0", "10.0.0.1"),
        (&["1.1.1.1, 198.51.100.7"], "198.51.100.7:0", "10.0.0.1"),
        (&["1.1.1.1, 198.51.100.7,10.0.0.3 ,\t10.0.0.2"], "198.51.100.7:0", "10.0.0.3 10.0.0.2 10.0.0.1"),
        (&["1.1.1.1", "198.51.100.7", "10.0.0.2"], "198.51.100.7:0", "10.0.0.2 10.0.0.1"),
        (&["10.0.0.4, 10.0.0.3"], "10.0.0.4:0", "10.0.0.3 10.0.0.1"),
        (&["198.51.100.7:4711"], "198.51.100.7:0", "10.0.0.1"),
        (&["2001:db8::7"], "[2001:db8::7]:0", "10.0.0.1"),
        (&["[2001:db8::7]"], "[2001:db8::7]:0", "10.0.0.1"),
        (&["[2001:db8::7]:4711, 2001:db8:f::1"], "[2001:db8::7]:0", "2001:db8:f::1 10.0.0.1"),
        (&["198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7:0", "10.0.0.2 10.0.0.1"),
    ] {
        let fields: Vec<_> = fields.iter().map(|value| ("x-forwarded-for", *value)).collect();
        assert_eq!(resolve(&fields), (client.to_owned(), via.to_owned()), "{fields:?}");
    }
}

#[test]
fn an_invalid_address_ends_the_search() {
    for (field, client, via) in [
        ("198.51.100.7, unknown", "10.0.0.1:9", ""),
        ("198.51.100.7, ", "10.0.0.1:9", ""),
        ("", "10.0.0.1:9", ""),
        ("198.51.100.7, 10.0.0.300, 10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
        ("198.51.100.7,,10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
        ("198.51.100.7, 010.0.0.3, 10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
        ("198.51.100.7 10.0.0.3, 10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
        ("198.51.100.7, caf\u{e9}, 10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
        ("\"198.51.100.7, 10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
    ] {
        assert_eq!(resolve(&[("x-forwarded-for", field)]), (client.to_owned(), via.to_owned()), "{field:?}");
    }
    let endless = format!("198.51.100.7{}", ", 10.0.0.2".repeat(MOST_PROXIES));
    assert_eq!(resolve(&[("x-forwarded-for", &endless)]).0, "10.0.0.2:0");
    let longest = format!("198.51.100.7{}", ", 10.0.0.2".repeat(MOST_PROXIES - 1));
    assert_eq!(resolve(&[("x-forwarded-for", &longest)]).0, "198.51.100.7:0");
}

/// The Forwarded header (RFC 7239).
#[test]
fn forwarded_is_read_where_x_forwarded_for_is_absent() {
    for (field, client, via) in [
        ("for=198.51.100.7", "198.51.100.7:0", "10.0.0.1"),
        ("For=\"198.51.100.7:4711\";proto=https", "198.51.100.7:0", "10.0.0.1"),
        ("proto=https; by=10.0.0.9;for=\"[2001:db8::7]:4711\"", "[2001:db8::7]:0", "10.0.0.1"),
        (
            "for=1.1.1.1, for=\"[2001:db8::7]\";host=\"a,b;for=2.2.2.2\" , for=10.0.0.2",
            "[2001:db8::7]:0",
            "10.0.0.2 10.0.0.1",
        ),
        ("for=198.51.100.7;host=\"a\\\", for=2.2.2.2\"", "198.51.100.7:0", "10.0.0.1"),
        ("for=198.51.100.7;host=\"a\\\\\", for=10.0.0.2", "198.51.100.7:0", "10.0.0.2 10.0.0.1"),
        ("for=198.51.100.7, for=unknown", "10.0.0.1:9", ""),
        ("for=198.51.100.7, for=_hidden", "10.0.0.1:9", ""),
        ("for=198.51.100.7, for=\"_hidden:4711\", for=10.0.0.2", "10.0.0.2:0", "10.0.0.1"),
        ("for=198.51.100.7, proto=https", "10.0.0.1:9", ""),
        ("for=198.51.100.7;for=1.1.1.1", "10.0.0.1:9", ""),
        ("198.51.100.7", "10.0.0.1:9", ""),
        // A quote that an attacker has opened does not affect the entry that a proxy appends.
        ("for=\"1.1.1.1, for=198.51.100.7", "198.51.100.7:0", "10.0.0.1"),
        ("for=1.1.1.1;x=\"\\, for=198.51.100.7;host=\"a\"", "198.51.100.7:0", "10.0.0.1"),
    ] {
        assert_eq!(resolve(&[("forwarded", field)]), (client.to_owned(), via.to_owned()), "{field:?}");
    }
}

/// An attacker chooses the host of its request, which the proxy writes into Forwarded.
#[test]
fn a_host_that_is_no_text_hides_no_client() {
    let field = HeaderValue::from_bytes(b"for=10.0.0.5, for=198.51.100.7;host=\"\xff\"").unwrap();
    let headers = HeaderMap::from_iter([(FORWARDED, field)]);
    assert_eq!(resolve_client(&connection("10.0.0.1:9"), &headers, &trusted()).address.to_string(), "198.51.100.7:0");
}

#[test]
fn headers_that_name_two_clients_contradict_each_other() {
    let contradictory = |one: &str, other: &str| {
        let headers = headers(&[("x-forwarded-for", one), ("forwarded", other)]);
        resolve_client(&connection("10.0.0.1:9"), &headers, &trusted()).forwarded.contradictory
    };
    assert!(!contradictory("198.51.100.7", "for=198.51.100.7"));
    assert!(!contradictory("1.1.1.1, 198.51.100.7, 10.0.0.2", "for=2.2.2.2, for=\"198.51.100.7:1\""));
    assert!(contradictory("198.51.100.7", "for=1.1.1.1"));
    assert!(contradictory("198.51.100.7", "for=198.51.100.7, for=unknown"));
    assert!(contradictory("198.51.100.7", ""));
}

#[test]
fn headers_of_untrusted_clients_are_ignored() {
    let headers = headers(&[
        ("x-forwarded-for", "1.1.1.1"),
        ("forwarded", "for=2.2.2.2"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "mine"),
    ]);
    let unnamed = ConnectionInfo { named: false, ..connection("10.0.0.1:9") };
    for (connection, trusted) in
        [(connection("203.0.113.9:9"), trusted()), (connection("10.0.0.1:9"), Vec::new()), (unnamed, trusted())]
    {
        let resolved = resolve_client(&connection, &headers, &trusted);
        assert!(matches!(resolved, Cow::Borrowed(_)), "{resolved:?}");
    }
    let mapped = connection("[::ffff:10.0.0.1]:9");
    assert!(resolve_client(&mapped, &headers, &trusted()).forwarded.contradictory);
}

#[test]
fn scheme_and_id_are_taken_from_single_valid_headers() {
    let resolve = |name: &'static str, values: &[&str]| {
        let fields: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        let headers = headers(&fields);
        let resolved = resolve_client(&connection("10.0.0.1:9"), &headers, &trusted()).into_owned();
        (resolved.secure, resolved.forwarded.request_id)
    };
    for (values, secure) in [
        (&["https"][..], true),
        (&["HTTPS"], true),
        (&["http"], false),
        (&["https, http"], false),
        (&["https", "https"], false),
        (&["wss"], false),
        (&[""], false),
    ] {
        assert_eq!(resolve("x-forwarded-proto", values).0, secure, "{values:?}");
    }
    let longest = "a".repeat(LONGEST_ID);
    for id in ["7", "0af7651916cd43dd8448eb211c80319c", "a.b_c-D", &longest] {
        assert_eq!(resolve("x-request-id", &[id]).1.as_deref(), Some(id));
    }
    for ids in
        [&[""][..], &["a", "a"], &["a b"], &["../a"], &["a/b"], &["a\"b"], &["caf\u{e9}"], &[&format!("{longest}a")]]
    {
        assert_eq!(resolve("x-request-id", ids).1, None, "{ids:?}");
    }
}
