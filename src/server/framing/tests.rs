use super::*;

fn framing() -> FramingValidator {
    FramingValidator::new(&ListenerLimits { max_headers_size: 100, ..ListenerLimits::default() })
}

/// Validates the bytes in one piece and byte by byte: the result must not depend on how bytes arrive.
#[track_caller]
fn follow(bytes: &[u8]) -> (ValidatorState, Result<(), FramingError>) {
    let (mut whole, mut pieces) = (framing(), framing());
    let first = whole.follow(bytes);
    let each = bytes.iter().enumerate().find_map(|(at, byte)| pieces.follow(&[*byte]).err().map(|(_, why)| (at, why)));
    assert_eq!(first.err().map(|(_, why)| why), each.map(|(_, why)| why), "{}", bytes.escape_ascii());
    if let (Err((good, _)), Some((at, _))) = (first, each) {
        assert!(good <= at, "{good} {at} {}", bytes.escape_ascii());
    }
    (whole.at, first.map_err(|(_, why)| why))
}

fn head(fields: &str) -> Vec<u8> {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes()
}

#[test]
fn bodies_are_followed_to_their_end() {
    for body in ["Content-Length: 5\r\n\r\nhello", "Content-Length: 0\r\n\r\n", "X: y\r\n\r\n"] {
        let one = format!("POST /a HTTP/1.1\r\nHost: a\r\n{body}");
        assert_eq!(follow(format!("{one}{one}\r\n{one}").as_bytes()), (ValidatorState::Head, Ok(())), "{body}");
    }
    let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding:\t chunked \r\n\r\n5\r\nhe\r\no\r\n0aF\r\n";
    let long = format!("{chunked}{}\r\n0\r\nX-Sum: 5\r\n\r\nGET / HTTP/1.0\r\n\r\n", "\0".repeat(0xaf));
    assert_eq!(follow(long.as_bytes()), (ValidatorState::Head, Ok(())));
    assert_eq!(follow(chunked.as_bytes()).0, ValidatorState::Chunk(0xaf));
    assert_eq!(follow(&head("Content-Length: 7")).0, ValidatorState::Body(7));
}

#[test]
fn two_lengths_are_none() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: ",
        "Content-Length: a",
        "Content-Length: 18446744073709551616",
        "Content-Length: -1",
    ] {
        assert!(matches!(follow(&head(fields)).1, Err(FramingError::Ambiguous(_))), "{fields}");
    }
}

#[test]
fn a_transfer_encoding_is_chunked_and_nothing_else() {
    for value in
        ["Chunked", "gzip, chunked", "chunked, identity", "identity", "", "\"chunked\"", "chunked;q=1", "xchunked"]
    {
        assert!(
            matches!(follow(&head(&format!("Transfer-Encoding: {value}"))).1, Err(FramingError::Ambiguous(_))),
            "{value}"
        );
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked";
    assert!(matches!(follow(&head(twice)).1, Err(FramingError::Ambiguous(_))));
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(matches!(follow(old).1, Err(FramingError::Ambiguous(_))));
}

#[test]
fn lines_end_and_begin_in_one_way() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\n\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\x0bb\r\n\r\n",
        "\n\nGET / HTTP/1.1\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        assert!(matches!(follow(head.as_bytes()).1, Err(FramingError::Ambiguous(_))), "{}", head.escape_debug());
    }
}

#[test]
fn a_request_line_has_three_words_and_a_header_a_name() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET / HTTP/2.0",
        "GET  HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        assert!(matches!(follow(format!("{line}\r\n").as_bytes()).1, Err(FramingError::Ambiguous(_))), "{line}");
    }
    assert_eq!(follow(b"GET /a#b HTTP/1.1\r\n").1, Err(FramingError::Fragment));
    for field in ["Host : a", "Host\t: a", ": a", "a", "Ho st: a", "H\u{f6}st: a", "Content-Length\0: 5", "(a): b"] {
        assert!(matches!(follow(&head(field)).1, Err(FramingError::Ambiguous(_))), "{field}");
    }
    assert_eq!(follow(&head("X-A:\u{f6}\t ~!")).1, Ok(()));
}

#[test]
fn chunks_have_a_size_and_nothing_beside_it() {
    for chunk in [
        "5;a=b\r\n",
        "5 \r\n",
        " 5\r\n",
        "0x5\r\n",
        "-1\r\n",
        "\r\n",
        "5\n",
        "5\rhello",
        "g\r\n",
        "+5\r\n",
        "fffffffffffffffff\r\n",
        "00000000000000005\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "0\r\n\n",
        "0\r\nX : y\r\n",
        "0\r\nX\r\n",
        "0\r\n X: y\r\n",
    ] {
        let mut bytes = head("Transfer-Encoding: chunked");
        bytes.extend_from_slice(chunk.as_bytes());
        assert!(matches!(follow(&bytes).1, Err(FramingError::Ambiguous(_))), "{}", chunk.escape_debug());
    }
}

#[test]
fn headers_and_trailers_have_an_end() {
    let few = ListenerLimits { max_headers_count: 3, ..ListenerLimits::default() };
    assert_eq!(FramingValidator::new(&few).follow(&head("A: b\r\nC: d")), Ok(()));
    let fourth = FramingValidator::new(&few).follow(&head("A: b\r\nC: d\r\nE: f"));
    assert_eq!(fourth.map_err(|(_, why)| why), Err(FramingError::TooLarge));
    let long = "X: y\r\n".repeat(60);
    assert_eq!(follow(&head(&long)).1, Err(FramingError::TooLarge));
    assert_eq!(follow("X".repeat(201).as_bytes()).1, Err(FramingError::TooLarge));
    let mut trailers = head("Transfer-Encoding: chunked");
    trailers.extend_from_slice(format!("0\r\n{long}").as_bytes());
    assert_eq!(follow(&trailers).1, Err(FramingError::TooLarge));
}

/// Earlier requests are complete, and the valid bytes of the last one end with its last valid line.
#[test]
fn valid_bytes_before_an_error_are_passed_on() {
    let mut bytes = head("Content-Length: 2");
    bytes.extend_from_slice(b"ab");
    let first = bytes.len();
    bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let line = bytes.len();
    bytes.extend_from_slice(b"X : y\r\n\r\n");
    assert!(matches!(framing().follow(&bytes), Err((at, FramingError::Ambiguous(_))) if at == line));
    assert_eq!(framing().follow(&bytes[..first]), Ok(()));
}

/// The parser rejects a target that is no URL without a body and without a log line, so that none may reach it.
#[test]
fn a_target_that_is_no_url_is_rejected_before_the_parser_sees_it() {
    for byte in 0x21..=0xff_u8 {
        for target in [&[b'/', byte][..], &[b'/', b'?', byte], &[byte], &[byte, b'/']] {
            let line = [b"GET ", target, b" HTTP/1.1\r\n"].concat();
            let taken = framing().follow(&line).is_ok();
            assert!(!taken || Uri::try_from(target).is_ok(), "{}", target.escape_ascii());
        }
    }
    for target in ["/a?b=\"1\"", "/a?<b>", "/a<b", "/`", "http://", "http:///a", "a/b", "/a?\u{e9}"] {
        let result = follow(format!("GET {target} HTTP/1.1\r\n").as_bytes()).1;
        assert_eq!(result, if target.is_ascii() { Err(FramingError::Target) } else { Ok(()) }, "{target}");
    }
    for target in ["/a?{[^|`\\]}", "/{a}|^[b]", "*", "http://a/b", "a:80", "/a?\u{65e5}"] {
        assert_eq!(follow(format!("GET {target} HTTP/1.1\r\n").as_bytes()).1, Ok(()), "{target}");
    }
    assert_eq!(framing().follow(b"GET /a?\xe9 HTTP/1.1\r\n").map_err(|(_, why)| why), Err(FramingError::Target));
}
