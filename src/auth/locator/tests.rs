//! Tokens in headers, queries and cookies (none, one, two, and a second one in disguise), and each place under its key.

use http::Request;

use super::*;
use crate::auth::request::UrlBase;

fn bearer() -> Locator {
    Locator::Header { name: AUTHORIZATION, scheme: Some(Scheme::of_token("Bearer")) }
}

fn find(location: &Locator, uri: &str, fields: &[(&str, &str)]) -> Result<String, Reason> {
    let request =
        fields.iter().fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
    token(location, request)
}

fn token(location: &Locator, request: http::request::Builder) -> Result<String, Reason> {
    let head = request.body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("a"));
    location.find_token(&view).map(Cow::into_owned).map_err(|error| error.reason().unwrap())
}

#[test]
fn one_token_is_found() {
    assert_eq!(find(&bearer(), "/", &[("authorization", "bEaReR a.b.c")]), Ok("a.b.c".into()));
    assert_eq!(find(&Locator::Query("t".into()), "/?x=1&t=a.b.c", &[]), Ok("a.b.c".into()));
    assert_eq!(find(&Locator::Cookie("t".into()), "/", &[("cookie", "x=1; t=a.b.c")]), Ok("a.b.c".into()));
    assert_eq!(find(&Locator::Cookie("t".into()), "/", &[("cookie", "t=YQ==")]), Ok("YQ==".into()));
    let own = Locator::Header { name: HeaderName::from_static("x-token"), scheme: None };
    let beside = [("x-token", "a.b.c"), ("authorization", "Basic x")];
    assert_eq!(find(&own, "/?access_token=b", &beside), Ok("a.b.c".into()));
}

/// The form `Digest: JWT=…`: the prefix is a part of the name, and is compared exactly.
#[test]
fn a_scheme_that_ends_in_an_equals_sign_directly_precedes_the_token() {
    let digest = Locator::Header { name: HeaderName::from_static("digest"), scheme: Some(Scheme::of_token("JWT=")) };
    assert_eq!(find(&digest, "/", &[("digest", "JWT=a.b.c")]), Ok("a.b.c".into()));
    for value in ["JWT= a.b.c", "JWT=", "JWT=a b"] {
        assert_eq!(find(&digest, "/", &[("digest", value)]), Err(Reason::MalformedCredential), "{value}");
    }
    for value in ["jwt=a.b.c", "a.b.c", "SHA-256=a"] {
        assert_eq!(find(&digest, "/", &[("digest", value)]), Err(Reason::MissingCredential), "{value}");
    }
}

#[test]
fn none_is_missing() {
    for fields in [&[][..], &[("authorization", "Basic dTpw")], &[("authorization", "a.b.c")], &[("x", "Bearer a")]] {
        assert_eq!(find(&bearer(), "/", fields), Err(Reason::MissingCredential), "{fields:?}");
    }
    assert_eq!(find(&bearer(), "/?access_token=a.b.c", &[]), Err(Reason::MissingCredential));
    assert_eq!(find(&Locator::Query("t".into()), "/?T=a&%74=a", &[]), Err(Reason::MissingCredential));
}

/// Another gateway accepted a valid token together with an invalid one, and comma-joined tokens, in HTTP/1 and
/// HTTP/2.
#[test]
fn two_are_rejected_and_neither_is_chosen() {
    let two = Err(Reason::MultipleCredentials);
    assert_eq!(find(&bearer(), "/", &[("authorization", "Bearer a"), ("authorization", "Bearer b")]), two);
    assert_eq!(find(&bearer(), "/", &[("authorization", "Bearer a, Bearer b")]), two);
    assert_eq!(find(&bearer(), "/", &[("authorization", "Bearer a"), ("authorization", "Basic b")]), two);
    assert_eq!(find(&bearer(), "/?access_token=b", &[("authorization", "Bearer a")]), two);
    assert_eq!(find(&Locator::Query("t".into()), "/?t=a&t=a", &[]), two);
    assert_eq!(find(&Locator::Cookie("t".into()), "/", &[("cookie", "t=a"), ("cookie", "t=b")]), two);
}

/// A credential that only the upstream would recognise counts as a second credential.
#[test]
fn a_second_one_in_disguise_is_seen() {
    let (query, cookie) = (Locator::Query("token".into()), Locator::Cookie("t".into()));
    let good = ("authorization", "Bearer a");
    for uri in ["/?token=a&%74oken=b", "/?to%6ben=b&token=a", "/?token=a&to%6Ben", "/?token=a&token"] {
        assert_eq!(find(&query, uri, &[]), Err(Reason::MultipleCredentials), "{uri}");
    }
    for uri in ["/?access%5ftoken=b", "/?x&%61ccess_token=b", "/?access_token"] {
        assert_eq!(find(&bearer(), uri, &[good]), Err(Reason::MultipleCredentials), "{uri}");
    }
    for uri in ["/?access_tokens=b", "/?xaccess_token=b", "/?access+token=b", "/?%access_token=b", "/?x=access_token"] {
        assert_eq!(find(&bearer(), uri, &[good]), Ok("a".into()), "{uri}");
    }
    assert_eq!(find(&query, "/?token=a%2e", &[]), Err(Reason::MalformedCredential));
    // Found by fuzzing: a value that ends at `;` for one parser continues for a parser that splits at `&` alone, as
    // the URL standard requires.
    assert_eq!(find(&query, "/?token=a;x=b", &[]), Err(Reason::MalformedCredential));
    assert_eq!(find(&query, "/?x=1;token=a", &[]), Err(Reason::MissingCredential));
    assert_eq!(find(&query, "/?token=a&x=1;token=b", &[]), Err(Reason::MultipleCredentials));
    // Some parsers ignore a space between the name and `=`.
    let blank = [("cookie", "t=good; t =evil")];
    assert_eq!(find(&cookie, "/", &blank), Err(Reason::MultipleCredentials));
    for spaced in ["t=good; a=b t=evil", "t=YQ==; a=b t=YQ=="] {
        assert_eq!(find(&cookie, "/", &[("cookie", spaced)]), Err(Reason::MultipleCredentials));
    }
    assert_eq!(find(&bearer(), "/?x=1;access_token=b", &[good]), Err(Reason::MultipleCredentials));
    let unreadable = http::HeaderValue::from_bytes(b"t=evil; x=\xff").unwrap();
    let request = Request::builder().header("cookie", unreadable).header("cookie", "t=good");
    assert_eq!(token(&cookie, request), Err(Reason::MalformedCredential));
}

#[test]
fn other_values_are_malformed() {
    for value in ["Bearer", "bearer", "Bearer ", "Bearer a b", "Bearer a\tb", "Bearer \"a\"", "Bearer {}"] {
        assert_eq!(find(&bearer(), "/", &[("authorization", value)]), Err(Reason::MalformedCredential), "{value}");
    }
    for bytes in [&b"Bearer \xff"[..], b"Basic \xff", "Basic é".as_bytes()] {
        let not_ascii = Request::builder().header("authorization", http::HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(token(&bearer(), not_ascii), Err(Reason::MalformedCredential));
    }
}

/// Entra and Keycloak write a claim for each group: the listener bounds all headers together.
#[test]
fn a_token_of_many_groups_is_read_whole() {
    let value = format!("Bearer {}", "a".repeat(30_000));
    assert_eq!(find(&bearer(), "/", &[("authorization", &value)]).map(|token| token.len()), Ok(30_000));
}

#[test]
fn each_configuration_key_names_a_place() {
    let request = Request::builder().uri("/?q=a%20b").header("x-h", "c").header("cookie", "k=d");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let head = request.body(()).unwrap().into_parts().0;
    let claims = Map::from_iter([("c".to_owned(), "g".into())]);
    for (key, text, body, found, described) in [
        ("header", "X-H", "", "c", "header `X-H`"),
        ("query", "q", "", "a b", "query `q`"),
        ("cookie", "k", "", "d", "cookie `k`"),
        ("form", "f", "f=e+f", "e f", "form field `f`"),
        ("json", "/j/0", r#"{"j":["e"]}"#, "e", "body `/j/0`"),
        ("body", "", "f", "f", "the whole body"),
        ("claim", "c", "", "g", "claim `c`"),
    ] {
        let locator = Locator::parse(key, text).unwrap();
        assert_eq!(Locator::describe(key, text), described);
        let view = RequestView::new(&head, UrlBase::Host("a")).with_body(body.as_bytes());
        let value = locator.find_with_claims(&view, &claims).unwrap().and_then(LocatedValue::into_text);
        assert_eq!(value.as_deref(), Some(found), "{key}");
        let empty = RequestView::new(&head, UrlBase::Host("a")).with_body(b"");
        let unread = RequestView::new(&head, UrlBase::Host("a"));
        assert_eq!(locator.find(&unread).is_err(), locator.is_in_body(), "{key}");
        assert_eq!(locator.find(&empty).unwrap().is_none(), locator.is_in_body() || key == "claim", "{key}");
    }
    for (key, text) in [("header", "a b"), ("json", ""), ("claim", "/~2"), ("part", "t")] {
        assert_eq!(Locator::parse(key, text), None, "{key}");
    }
}
