//! Components of the string to sign.

use super::*;

/// Verifies a request with these headers and a correct signature over `text`, under a policy with these components.
fn signs(components: &[&str], target: &str, fields: &[(&str, &str)], body: &[u8], text: &str) -> Result<usize, Reason> {
    let good = mac(text);
    evaluate_at(&policy(components), target, &[&[("x-sig", good.as_str())], fields].concat(), body)
}

const MISSING: Result<usize, Reason> = Err(Reason::MissingSignedComponent);

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn components_have_the_values_that_their_names_say() {
    let hash = Digest::hex_sha256(b"{}");
    for (components, text) in [
        (&["literal:v0", "body"][..], "v0.{}"),
        (&["body", "body"], "{}.{}"),
        (&["body.sha256.hex"], hash.as_str()),
        (&["body.sha256.base64"], "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="),
        (&["body.sha256.base64url"], "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"),
        (&["method", "path"], "POST./a?c=2&b=1"),
        (&["url"], "https://hooks.test/a?c=2&b=1"),
        (&["query.sorted"], "b=1&c=2"),
        (&["literal:a:b"], "a:b"),
        (&["query.pairs"], "b1c2"),
        (&["header:x-id", "header?:x-none"], "7."),
        (&["query:b", "query?:d", "query:c"], "1..2"),
        (&["body.crc32"], "2745614147"),
    ] {
        assert_eq!(signs(components, "/a?c=2&b=1", &[("x-id", "7")], b"{}", text), Ok(0), "{components:?}");
        assert_eq!(
            signs(components, "/a?c=2&b=1", &[("x-id", "7")], b"{}", &format!("{text} ")),
            BAD,
            "{components:?}"
        );
    }
    let raw = mac(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"{}"));
    assert_eq!(evaluate(&policy(&["body.sha256.raw"]), &[("x-sig", &raw)], b"{}"), Ok(0));
    for text in [
        "",
        "boddy",
        "header:",
        "header:a b",
        "json:",
        "body.sha1.hex",
        "text",
        "part:",
        "url.sorted",
        "cookie:c",
        "query:",
        "query",
        "listed:",
        "listed:a,b c",
    ] {
        assert_eq!(Component::parse(text), None, "{text}");
    }
}

/// An absent component is not an empty one: otherwise an attacker could remove a header and keep the signature valid.
#[test]
fn a_missing_component_has_its_own_reason() {
    let malformed = Err(Reason::MalformedBody);
    for (components, fields, body, expected) in [
        (&["header:x-id"][..], &[][..], &b"{}"[..], MISSING),
        (&["json:/id"], &[], b"{}", MISSING),
        (&["json:/id"], &[], br#"{"id":null}"#, BAD),
        (&["json:/id"], &[], br#"{"id":1.5}"#, BAD),
        (&["json:/id"], &[], br#"{"id":[""]}"#, BAD),
        (&["json?:/id"], &[], br#"{"id":[1]}"#, BAD),
        (&["json?:/id"], &[], br#"{"id":{"a":1}}"#, BAD),
        (&["json?:/id"], &[], br#"{"id":1.5}"#, BAD),
        (&["json?:/id"], &[], br#"{"id":null}"#, Ok(0)),
        (&["json:/id"], &[], b"no JSON", malformed),
        (&["json:/id"], &[], br#"{"id":"1","id":"1"}"#, malformed),
        (&["form:id"], &[], b"{}", malformed),
        (&["form:id"], &[FORM], b"other=1", MISSING),
        (&["part:id"], &[], b"", MISSING),
        (&["headers:id"], &[], b"", MISSING),
        (&["query:id"], &[], b"", MISSING),
        (&["query.lower:id"], &[], b"", MISSING),
        (&["listed:x-list"], &[], b"", MISSING),
    ] {
        let told = String::from_utf8_lossy(body);
        assert_eq!(signs(components, "/a", fields, body, ""), expected, "{components:?} {told}");
    }
    assert_eq!(signs(&["header:x-id"], "/a", &[("x-id", "1")], b"{}", "1"), Ok(0));
    assert_eq!(signs(&["json:/id"], "/a", &[], br#"{"id":"1"}"#, "1"), Ok(0));
    assert_eq!(signs(&["header?:x-id", "json?:/id"], "/a", &[], b"{}", "."), Ok(0));
    let two = [("x-id", "1"), ("x-id", "1")];
    assert_eq!(signs(&["header:x-id"], "/a", &two, b"", "1"), Err(Reason::MultipleCredentials));
    assert_eq!(signs(&["header?:x-id"], "/a", &two, b"", "1"), Err(Reason::MultipleCredentials));
}

#[test]
fn json_values_have_one_text() {
    for (value, text) in [("\"a\\u0062\"", "ab"), ("15", "15"), ("true", "true"), ("-3", "-3")] {
        let body = format!("{{\"id\": {value}}}");
        assert_eq!(signs(&["json:/id"], "/a", &[], body.as_bytes(), text), Ok(0), "{value}");
    }
    // These values have more than one spelling.
    for (value, text) in [("1.5", "1.5"), ("1e2", "100"), ("null", "null"), ("[1]", "[1]"), ("{}", "{}")] {
        let body = format!("{{\"id\": {value}}}");
        assert_eq!(signs(&["json:/id"], "/a", &[], body.as_bytes(), text), BAD, "{value}");
    }
}

#[test]
fn listed_headers_are_all_there() {
    let mut policy = policy(&["headers:h", "body"]);
    policy.parse = pairs("v1");
    let evaluate = |names: &str, text: &str, fields: &[(&str, &str)]| {
        let value = format!("h={names},v1={}", mac(text));
        super::evaluate(&policy, &[&[("x-sig", value.as_str())], fields].concat(), b"body")
    };
    let both = [("x-a", "1"), ("x-b", "2")];
    assert_eq!(evaluate("x-a x-b", "1.2.body", &both), Ok(0));
    assert_eq!(evaluate("x-b x-a", "1.2.body", &both), BAD);
    assert_eq!(evaluate("x-a x-c", "1..body", &both), MISSING);
    assert_eq!(evaluate("x-a (x", "1..body", &both), BAD);
    assert_eq!(evaluate(&["x-a"; 32].join(" "), &format!("{}.body", ["1"; 32].join(".")), &both), Ok(0));
    assert_eq!(evaluate(&["x-a"; 33].join(" "), &format!("{}.body", ["1"; 33].join(".")), &both), BAD);
    let three = [("x-a", "1"), ("x-b", "2"), ("x-b", "3")];
    assert_eq!(evaluate("x-a x-b", "1.2.body", &three), Err(Reason::MultipleCredentials));
}

/// Mercado Pago signs an id of the query, decoded and in lower case. Of two values, the upstream could use the other one.
#[test]
fn a_query_parameter_is_signed_by_its_one_value() {
    let signs = |component: &str, target: &str, text: &str| {
        let id = ["literal:id", component, "header:x-request-id", "part:ts"];
        let mut policy = policy(&id);
        policy.parse = pairs("v1");
        let value = format!("ts=1704908010,v1={}", mac(format!("id.{text}.r1.1704908010")));
        evaluate_at(&policy, target, &[("x-sig", &value), ("x-request-id", "r1")], b"")
    };
    assert_eq!(signs("query:data.id", "/a?data.id=A%2fb+c&type=payment", "A/b c"), Ok(0));
    assert_eq!(signs("query.lower:data.id", "/a?data.id=A%2fb+c&type=payment", "a/b c"), Ok(0));
    assert_eq!(signs("query:data.id", "/a?data.id=124&data.id=123", "123"), Err(Reason::MultipleCredentials));
    assert_eq!(signs("query:data.id", "/a?data.id=123&data%2Eid=124", "123"), Err(Reason::MultipleCredentials));
    assert_eq!(signs("query:data.id", "/a?data.id=124", "123"), BAD);
    assert_eq!(signs("query:data.id", "/a?Data.id=123", "123"), MISSING);
}

/// Contentful's rule. A header that the sender did not list could be changed.
#[test]
fn headers_that_a_header_lists_are_signed_with_their_names() {
    let signs = |list: &str, text: &str| {
        let components = ["listed:x-list,x-time", "body"];
        let fields = [("x-list", list), ("x-time", "17"), ("content-type", " a/b ")];
        signs(&components, "/a", &fields, b"body", &format!("{text}.body"))
    };
    let list = "content-type,X-List, x-time";
    assert_eq!(signs(list, &format!("content-type:a/b;x-list:{list};x-time:17")), Ok(0));
    assert_eq!(signs("x-list", "x-list:x-list"), BAD);
    assert_eq!(signs("content-type,x-time", "content-type:a/b;x-time:17"), BAD);
    assert_eq!(signs("x-list,x-time,x-none", ""), MISSING);
    assert_eq!(signs("x-list,x-time,(", ""), BAD);
    let many = format!("x-list,{}", ["x-time"; 32].join(","));
    assert_eq!(signs(&many, &format!("x-list:{many};{}", ["x-time:17"; 32].join(";"))), BAD);
}

#[test]
fn only_the_variants_that_are_written_are_tried() {
    let evaluate = |variants: &[UrlVariant], text: &str| {
        let mut policy = policy(&["url"]);
        policy.url_variants = variants.to_vec();
        evaluate_at(&policy, "/a?b=c", &[("x-sig", &mac(text))], b"")
    };
    let (port, slash) = (UrlVariant::Port, UrlVariant::Slash);
    assert_eq!(evaluate(&[], "https://hooks.test/a?b=c"), Ok(0));
    for (variant, text) in [(port, "https://hooks.test:443/a?b=c"), (slash, "https://hooks.test/a/?b=c")] {
        assert_eq!((evaluate(&[], text), evaluate(&[variant], text)), (BAD, Ok(0)), "{text}");
    }
    for text in ["https://hooks.test/a/?b=c/", "http://hooks.test/a?b=c", "https://hooks.test:80/a?b=c", "/a?b=c"] {
        assert_eq!(evaluate(&[port, slash], text), BAD, "{text}");
    }
    let mut policy = policy(&["path"]);
    policy.url_variants = vec![slash];
    assert_eq!(evaluate_at(&policy, "/a?b=c", &[("x-sig", &mac("/a/?b=c"))], b""), Ok(0));
}

/// The path begins at the first slash after the host, also if the query contains another URL.
#[test]
fn url_and_path_may_both_be_signed() {
    let target = "/a/b?next=https://x/y";
    assert_eq!(signs(&["url", "path"], target, &[], b"", &format!("https://hooks.test{target}.{target}")), Ok(0));
}

/// Sorted by name alone: pairs of one name keep their order, and a value may contain `=`.
#[test]
fn a_sorted_query_keeps_its_pairs_as_they_are() {
    assert_eq!(signs(&["query.sorted"], "/?b=2&a=z&a=b==&&a=", &[], b"", "a=z&a=b==&a=&b=2"), Ok(0));
}

/// HubSpot decodes these percent-escapes before it signs, and no others.
#[test]
fn hubspot_s_escapes_are_undone_in_either_case() {
    let text = "https://hooks.test/a?u=https://x&v=%20%23";
    assert_eq!(signs(&["url.decoded"], "/a?u=https%3A%2f%2Fx&v=%20%23", &[], b"", text), Ok(0));
    assert_eq!(signs(&["url"], "/a?u=https%3A%2f%2Fx&v=%20%23", &[], b"", text), BAD);
}

/// Twilio's rule: a body that is not a form would be unsigned.
#[test]
fn a_sorted_form_is_a_form_or_nothing() {
    let run = |fields: &[(&str, &str)], body: &[u8], text: &str| signs(&["form.sorted"], "/a", fields, body, text);
    assert_eq!(run(&[FORM], b"b=2&a=%31&b=1", "a1b1b2"), Ok(0));
    assert_eq!(run(&[FORM], b"a=1&b=2&a=1", "a1b2"), Ok(0));
    assert_eq!(run(&[FORM], b"b=2&a=1&c=", "a1b2"), BAD);
    assert_eq!(run(&[], b"", ""), Ok(0));
    assert_eq!(run(&[], b"b=2", ""), Err(Reason::MalformedBody));
    assert_eq!(run(&[("content-type", "application/json")], b"{}", ""), Err(Reason::MalformedBody));
    let many = vec!["a=1"; 1001].join("&");
    assert_eq!(run(&[FORM], many.as_bytes(), ""), Err(Reason::MalformedBody));
}

#[test]
fn a_hash_in_the_signed_url_stands_for_the_body() {
    let mut policy = policy(&["url", "form.sorted"]);
    (policy.body_hash, policy.join) = (Some("bodySHA256".into()), String::new());
    let hash = Digest::hex_sha256(b"{}");
    let evaluate = |query: &str, body: &[u8]| {
        let target = format!("/a{query}");
        evaluate_at(&policy, &target, &[("x-sig", &mac(format!("https://hooks.test{target}")))], body)
    };
    assert_eq!(evaluate(&format!("?bodySHA256={hash}"), b"{}"), Ok(0));
    assert_eq!(evaluate(&format!("?bodySHA256={}", hash.to_uppercase()), b"{}"), Ok(0));
    assert_eq!(evaluate(&format!("?bodySHA256={hash}"), b"{ }"), Err(Reason::BodyMismatch));
    assert_eq!(evaluate("?bodySHA256=", b"{}"), Err(Reason::BodyMismatch));
    assert_eq!(evaluate("?other=1", b"{}"), Err(Reason::MalformedBody));
    for not_last in [format!("?bodySHA256={hash}&a=1"), format!("?bodySHA256={hash}&"), format!("?body%53HA256={hash}")]
    {
        assert_eq!(evaluate(&not_last, b"{}"), Err(Reason::BodyMismatch), "{not_last}");
    }
    let twice = format!("?bodySHA256={hash}&bodySHA256={hash}");
    assert_eq!(evaluate(&twice, b"{}"), Err(Reason::MultipleCredentials));
}

#[test]
fn a_policy_knows_what_it_signs() {
    let signs = |components: &[&str]| {
        let policy = policy(components);
        (policy.binds_body(), policy.signs_url(), policy.signs_header(&HeaderName::from_static("x-id")))
    };
    for (component, expected) in [
        ("body", (true, false, false)),
        ("body.sha256.base64", (true, false, false)),
        ("form.sorted", (true, false, false)),
        ("url", (false, true, false)),
        ("url.decoded", (false, true, false)),
        ("header:x-id", (false, false, true)),
        ("header:x-other", (false, false, false)),
        ("listed:x-list,x-id", (false, false, true)),
        ("body.crc32", (false, false, false)),
        ("json:/id", (false, false, false)),
        ("path", (false, false, false)),
    ] {
        assert_eq!(signs(&["method", component]), expected, "{component}");
    }
}

/// PageSpace#2199: an unsigned value must not identify an event.
#[test]
fn an_id_or_a_time_counts_where_it_is_signed() {
    let covered = |component: &str, signed: &[&str]| {
        let signed: Vec<Component> = signed.iter().map(|component| Component::parse(component).unwrap()).collect();
        Component::parse(component).unwrap().is_covered_by(&signed)
    };
    for (component, signed) in [
        ("header:x-id", &["header:X-Id"][..]),
        ("json:/id", &["body"]),
        ("json:/id", &["body.sha256.hex"]),
        ("json:/id", &["json:/id"]),
        ("form:id", &["body"]),
        ("form:id", &["form:id"]),
        ("part:t", &["part:t"]),
        ("header:x-id", &["method", "header:x-id", "header:x-other"]),
        ("json:/id", &["method", "body"]),
        ("query:id", &["query:id"]),
        ("query:id", &["url"]),
        ("query:id", &["path"]),
        ("query:id", &["query.sorted"]),
        ("header:x-id", &["listed:x-list,x-id"]),
        ("header:x-list", &["listed:x-list"]),
    ] {
        assert!(covered(component, signed), "{component}");
    }
    for (component, signed) in [
        ("header:x-id", &["header:x-other", "body"][..]),
        ("json:/id", &["json:/other", "header:id"]),
        ("json:/id", &["form.sorted"]),
        ("form:id", &["form:other"]),
        ("form:id", &["form.sorted"]),
        ("part:t", &["part:v", "body"]),
        ("url", &["path"]),
        ("json:/id", &["body.crc32"]),
        ("query:id", &["query.pairs", "url.decoded", "query:other", "body"]),
        ("header:x-id", &["listed:x-list"]),
    ] {
        assert!(!covered(component, signed), "{component}");
    }
}
