use http::Request;

use super::*;
use crate::auth::request::UrlBase;

/// The body of RFC 9530's examples, which print it without its line feed.
const BODY: &[u8] = b"{\"hello\": \"world\"}\n";

const SHA256_OF_BODY: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
const SHA512_OF_BODY: &str =
    "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

fn evaluate(name: &HeaderName, lines: &[&str], range: bool, body: &[u8]) -> Result<(), Reason> {
    let request = lines.iter().fold(Request::put("/items/123"), |request, line| request.header(name, *line));
    let request = if range { request.header("content-range", "bytes 0-18/19") } else { request };
    let head = request.body(()).unwrap().into_parts().0;
    check(name, &RequestView::new(&head, UrlBase::Host("foo.example")), body)
}

fn content(lines: &[&str], body: &[u8]) -> Result<(), Reason> {
    evaluate(&CONTENT_DIGEST, lines, false, body)
}

/// RFC 9530 appendices B.1, B.2 and B.3, and section 2.
#[test]
fn the_digests_of_rfc_9530_match_their_bodies() {
    assert_eq!(content(&[SHA256_OF_BODY], BODY), Ok(()));
    assert_eq!(content(&["sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"], b""), Ok(()));
    assert_eq!(content(&["sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:"], b"\"world\"}\n"), Ok(()));
    assert_eq!(evaluate(&REPR_DIGEST, &[SHA256_OF_BODY], false, BODY), Ok(()));
    // B.8: the padding is one character too long there, which a parser need not accept.
    assert_eq!(
        content(&["sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg==:"], BODY),
        Err(Reason::MalformedCredential)
    );
    assert_eq!(written(BODY), SHA256_OF_BODY);
}

#[test]
fn every_digest_with_a_supported_algorithm_has_to_match() {
    let other = "sha-512=:AAAA:";
    assert_eq!(content(&[SHA512_OF_BODY], BODY), Ok(()));
    assert_eq!(content(&[&format!("{SHA256_OF_BODY}, {SHA512_OF_BODY}")], BODY), Ok(()));
    assert_eq!(content(&[SHA256_OF_BODY, SHA512_OF_BODY], BODY), Ok(()), "two lines are one dictionary");
    assert_eq!(content(&[SHA256_OF_BODY, other], BODY), Err(Reason::BodyMismatch));
    assert_eq!(content(&[SHA256_OF_BODY], b"{\"hello\": \"world\"}"), Err(Reason::BodyMismatch));
    // Others are ignored, and prove nothing alone.
    assert_eq!(content(&[&format!("md5=:AAAA:, {SHA256_OF_BODY}")], BODY), Ok(()));
    assert_eq!(content(&["md5=:AAAA:, unixsum=:AAAA:, SHA-256=:AAAA:"], BODY), Err(Reason::MalformedCredential));
}

#[test]
fn a_digest_is_a_byte_sequence_and_occurs_once() {
    for line in ["", "sha-256", "sha-256=1", "sha-256=(:AAAA:)", "sha-256=\"AAAA\"", "RK/0qy18", "sha-256=:AAAA"] {
        assert_eq!(content(&[line], BODY), Err(Reason::MalformedCredential), "{line}");
    }
    assert_eq!(content(&[SHA256_OF_BODY, SHA256_OF_BODY], BODY), Err(Reason::MalformedCredential));
    // RFC 9651 §4.2.3.2: the last of two parameters counts, for a parser that follows it.
    assert_eq!(content(&[&format!("{SHA256_OF_BODY};a;b=1")], BODY), Ok(()));
    assert_eq!(content(&[&format!("{SHA256_OF_BODY};a;a=1")], BODY), Err(Reason::MalformedCredential));
    assert_eq!(content(&[], BODY), Err(Reason::MalformedCredential));
    let long = format!("x=:{}:, {SHA256_OF_BODY}", "A".repeat(16 * 1024));
    assert_eq!(content(&[&long], BODY), Err(Reason::MalformedCredential));
}

/// The digest of a representation says nothing about a part of it.
#[test]
fn a_representation_digest_of_a_part_is_rejected() {
    assert_eq!(evaluate(&REPR_DIGEST, &[SHA256_OF_BODY], true, BODY), Err(Reason::MalformedCredential));
    assert_eq!(evaluate(&CONTENT_DIGEST, &[SHA256_OF_BODY], true, BODY), Ok(()));
}
