//! Component identifiers and the values of components.

use super::*;
use crate::auth::message_signature::component::ComponentError;

fn value_at(url: UrlBase<'_>, target: &str, fields: &[(&str, &str)], identifier: &str) -> Result<String, Reason> {
    let head = head(target, fields);
    let component = ComponentIdentifier::parse(identifier).unwrap();
    component.value(&RequestView::new(&head, url)).map(|value| value.into_owned())
}

fn value(target: &str, fields: &[(&str, &str)], identifier: &str) -> Result<String, Reason> {
    value_at(UrlBase::Host("www.example.com"), target, fields, identifier)
}

fn text(value: &str) -> Result<String, Reason> {
    Ok(value.to_owned())
}

const MISSING: Result<String, Reason> = Err(Reason::MissingSignedComponent);
const MALFORMED: Result<String, Reason> = Err(Reason::MalformedCredential);

/// The examples of RFC 9421 section 2.1.
#[test]
fn headers_have_the_values_of_the_rfc() {
    let fields = [
        ("host", "www.example.com"),
        ("x-ows-header", "  Leading and trailing whitespace.   "),
        ("cache-control", "max-age=60"),
        ("cache-control", "   must-revalidate"),
        ("example-dict", "a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
        ("x-empty-header", " "),
    ];
    let value = |identifier: &str| value("/", &fields, identifier);
    assert_eq!(value("host"), text("www.example.com"));
    assert_eq!(value("x-ows-header"), text("Leading and trailing whitespace."));
    assert_eq!(value("cache-control"), text("max-age=60, must-revalidate"));
    assert_eq!(value("example-dict"), text("a=1,    b=2;x=1;y=2,   c=(a   b   c), d"));
    assert_eq!(value("x-empty-header"), text(""));
    assert_eq!(value("\"example-dict\";key=\"a\""), text("1"));
    assert_eq!(value("\"example-dict\";key=\"b\""), text("2;x=1;y=2"));
    assert_eq!(value("\"example-dict\";key=\"c\""), text("(a b c)"));
    assert_eq!(value("\"example-dict\";key=\"d\";sf"), text("?1"));
    assert_eq!((value("x-other"), value("\"example-dict\";key=\"e\"")), (MISSING, MISSING));
    assert_eq!(value("\"x-ows-header\";key=\"a\""), MALFORMED);
}

/// The examples of RFC 9421 section 2.1.3.
#[test]
fn lines_that_cannot_be_joined_are_told_apart_as_bytes() {
    let two = [("example-header", "value, with, lots"), ("example-header", "of, commas")];
    let one = [("example-header", "value, with, lots, of, commas")];
    let bytes = "\"example-header\";bs";
    assert_eq!(value("/", &two, "example-header"), value("/", &one, "example-header"));
    assert_eq!(value("/", &two, bytes), text(":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"));
    assert_eq!(value("/", &one, bytes), text(":dmFsdWUsIHdpdGgsIGxvdHMsIG9mLCBjb21tYXM=:"));
    assert_eq!(value("/", &[("x", "caf\u{e9}")], "x"), MALFORMED);
    assert_eq!(value("/", &[("x", "caf\u{e9}")], "\"x\";bs"), text(":Y2Fmw6k=:"));
}

#[test]
fn structured_fields_are_serialized_by_their_registered_type() {
    let fields = [
        ("priority", "u=1,    i"),
        ("cache-status", "A;hit,  B"),
        ("client-cert", " :AAAA: "),
        ("content-digest", "sha-256=:AAAA:"),
        ("content-digest", "sha-512=:BBBB:"),
        ("repr-digest", "?"),
        ("proxy-status", ""),
    ];
    let value = |name: &str| value("/", &fields, &format!("\"{name}\";sf"));
    assert_eq!((value("priority"), value("cache-status")), (text("u=1, i"), text("A;hit, B")));
    assert_eq!(value("client-cert"), text(":AAAA:"));
    assert_eq!(value("content-digest"), text("sha-256=:AAAA:, sha-512=:BBBB:"));
    assert_eq!((value("repr-digest"), value("proxy-status"), value("signature")), (MALFORMED, MALFORMED, MISSING));
    // The upstream's parser may take the first of two parameters, and the signature would be over the last one.
    for (name, doubled) in [("priority", "u=1;x=1;x"), ("cache-status", "A;x;x"), ("client-cert", ":AA==:;x;x")] {
        let value = |field: &str| self::value("/", &[(name, field)], &format!("\"{name}\";sf"));
        assert_eq!(value(doubled), MALFORMED, "{doubled}");
        assert!(value(&doubled.replacen(";x", ";y", 1)).is_ok(), "{doubled}");
    }
}

/// The examples of RFC 9421 section 2.2, as far as they are requests to an origin.
#[test]
fn derived_components_have_the_values_of_the_rfc() {
    let value = |target: &str, identifier: &str| value(target, &[], identifier);
    let target = "/path?param=value&foo=bar&baz=bat%2Dman&qux=";
    assert_eq!(value(target, "@method"), text("POST"));
    assert_eq!(
        value(target, "@target-uri"),
        text("https://www.example.com/path?param=value&foo=bar&baz=bat%2Dman&qux=")
    );
    assert_eq!((value(target, "@authority"), value(target, "@scheme")), (text("www.example.com"), text("https")));
    assert_eq!((value(target, "@request-target"), value(target, "@path")), (text(target), text("/path")));
    assert_eq!(value(target, "@query"), text("?param=value&foo=bar&baz=bat%2Dman&qux="));
    assert_eq!((value("/path?queryString", "@query"), value("/path", "@query")), (text("?queryString"), text("?")));
    assert_eq!(value(target, "\"@query-param\";name=\"baz\""), text("bat-man"));
    assert_eq!(value(target, "\"@query-param\";name=\"qux\""), text(""));
    assert_eq!(value(target, "\"@query-param\";name=\"other\""), MISSING);
    let parameters = "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
    assert_eq!(value(parameters, "\"@query-param\";name=\"var\""), text("this%20is%20a%20big%0Amultiline%20value"));
    assert_eq!(value(parameters, "\"@query-param\";name=\"bar\""), text("with%20plus%20whitespace"));
    assert_eq!(value(parameters, "\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\""), text("something"));
    // An application may take either of two, and a form's parser replaces what is no UTF-8.
    let named = "\"@query-param\";name=\"a\"";
    assert_eq!(value("/?a=1&%61=2", named), Err(Reason::MultipleCredentials));
    assert_eq!((value("/?a=%FF", named), value("/?a=%EF%BF%BD", named)), (MALFORMED, MALFORMED));
}

#[test]
fn the_authority_is_that_of_the_sender_in_its_normal_form() {
    let authority = |host: &str| value_at(UrlBase::Host(host), "/a?b", &[], "@authority").unwrap();
    let normal =
        [("Example.COM:443", "example.com"), ("e.test:8443", "e.test:8443"), ("[::1]:443", "[::1]"), ("e:80", "e:80")];
    for (host, expected) in normal {
        assert_eq!(authority(host), expected);
    }
    let url = PublicUrl { scheme: "http".into(), authority: "Public.test:80".into(), prefix: "/base".into() };
    let value = |identifier| value_at(UrlBase::Configured(&url), "/a?b", &[("host", "internal")], identifier).unwrap();
    assert_eq!(value("@target-uri"), "http://public.test/base/a?b");
    assert_eq!((value("@authority").as_str(), value("@scheme").as_str()), ("public.test", "http"));
    assert_eq!((value("@path").as_str(), value("@request-target").as_str()), ("/base/a", "/base/a?b"));
    assert_eq!(value("host"), "internal");
}

/// HTTP/2 splits Cookie at its semicolons.
#[test]
fn a_split_cookie_is_joined_again() {
    let mut head = head("/", &[("cookie", "a=1"), ("cookie", "b=2")]);
    let cookie = ComponentIdentifier::parse("cookie").unwrap();
    let value = |head: &Parts| cookie.value(&RequestView::new(head, UrlBase::Host("a"))).unwrap().into_owned();
    assert_eq!(value(&head), "a=1, b=2");
    head.version = http::Version::HTTP_2;
    assert_eq!(value(&head), "a=1; b=2");
}

#[test]
fn components_that_cannot_be_verified_say_why() {
    for (identifier, why) in [
        ("\"expires\";tr", ComponentError::Trailer),
        ("\"@method\";req", ComponentError::Request),
        ("\"x\";bs;sf", ComponentError::Incompatible),
        ("\"x\";bs;key=\"a\"", ComponentError::Incompatible),
        ("\"x\";sf", ComponentError::UnknownType),
        ("\"x\";other", ComponentError::Parameter),
        ("\"x\";sf=?0", ComponentError::Parameter),
        ("\"x\";key=a", ComponentError::Parameter),
        ("\"x\";name=\"a\"", ComponentError::Parameter),
        ("\"@method\";sf", ComponentError::Parameter),
        ("\"@path\";name=\"a\"", ComponentError::Parameter),
        ("\"@query-param\"", ComponentError::Derived),
        ("\"@status\"", ComponentError::Derived),
        ("\"@signature-params\"", ComponentError::Derived),
        ("\"@\"", ComponentError::Derived),
        ("\"X-Id\"", ComponentError::Name),
        ("\"x id\"", ComponentError::Name),
        ("\"\"", ComponentError::Name),
        ("\"x", ComponentError::Malformed),
        ("x y", ComponentError::Name),
    ] {
        assert_eq!(ComponentIdentifier::parse(identifier).unwrap_err(), why, "{identifier}");
        let input = format!("({});created={NOW};keyid=\"ed\"", identifier.replace("x y", "1"));
        assert_eq!(evaluate(&policy(), &input), Err(Reason::MalformedCredential), "{identifier}");
    }
}

/// RFC 9421 §2: the order of parameters does not make two components.
#[test]
fn no_component_is_covered_twice() {
    let twice = [r#""x-id" "x-id""#, r#""x-id";key="a";sf "x-id";sf;key="a""#, r#""@method" "@method""#];
    for covered in twice {
        let input = format!("({covered});created={NOW};keyid=\"ed\"");
        assert_eq!(evaluate(&policy(), &input), Err(Reason::MalformedCredential), "{covered}");
    }
    let many: Vec<String> = (0..65).map(|number| format!("\"x-{number}\"")).collect();
    let input = format!("({});created={NOW};keyid=\"ed\"", many.join(" "));
    assert_eq!(evaluate(&policy(), &input), Err(Reason::MalformedCredential));
}

/// A header that is covered several times, by its members, makes the base larger than the request.
#[test]
fn the_signature_base_is_bounded() {
    let long = format!("a={}", "1".repeat(15)).repeat(1) + &format!(", b=\"{}\"", "x".repeat(8000));
    let bytes = r#""x-dict" "x-dict";bs "x-dict";key="b""#;
    let fields = |count: usize| {
        let covered: Vec<String> = (0..count).map(|number| bytes.replace("x-dict", &format!("x-{number}"))).collect();
        let input = format!(
            "(\"@method\" \"@target-uri\" \"content-digest\" {});created={NOW};keyid=\"ed\"",
            covered.join(" ")
        );
        let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
        let named: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &*long)).collect();
        signed(&[("sig1", &input)], &named)
    };
    let reason = |count| verified(&policy(), &fields(count), Some(BODY)).err().and_then(|error| error.reason());
    assert_eq!((reason(2), reason(3)), (None, Some(Reason::MalformedCredential)));
}
