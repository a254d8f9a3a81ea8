//! Bytes of an HTTP/1 connection: the result is the same in one piece and in many; and where bytes are accepted,
//! parsers that are lenient in different ways all see the same requests.
#![no_main]

use hookgate::server::framing::{FramingError, FramingPosition, FramingValidator};
use hookgate::snapshot::ListenerLimits;
use libfuzzer_sys::fuzz_target;

// A run in which no input could pass would find nothing.
fuzz_target!(init: {
    let two = b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nxPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\n";
    assert_eq!(followed(two, two.len()), Ok(FramingPosition::Between));
    assert_eq!(STRICT.requests(two).len(), 2);
}, |input: &[u8]| {
    let [piece, bytes @ ..] = input else { return };
    let whole = followed(bytes, bytes.len());
    // A line may be both too long and ambiguous: the pieces decide which error comes first.
    assert_eq!(whole.is_err(), followed(bytes, 1 + usize::from(piece % 16)).is_err());
    let good = &bytes[..whole.err().map_or(bytes.len(), |(good, _)| good)];
    let seen = STRICT.requests(good);
    let ends = seen.last().map_or(0, |(_, _, end)| *end);
    assert!(whole.is_err() || (whole == Ok(FramingPosition::Between)) == (ends == good.len()), "{}", good.escape_ascii());
    for (name, reader) in READERS {
        assert_eq!(reader.requests(good), seen, "{name}: {}", good.escape_ascii());
    }
});

/// Validates pieces of at most `piece` bytes; returns the final position, or the number of valid bytes and the error.
fn followed(bytes: &[u8], piece: usize) -> Result<FramingPosition, (usize, FramingError)> {
    let mut framing = FramingValidator::new(&ListenerLimits { max_headers_size: 2048, ..ListenerLimits::default() });
    let mut good = 0;
    for piece in bytes.chunks(piece.max(1)) {
        framing.follow(piece).map_err(|(more, why)| (good + more, why))?;
        good += piece.len();
    }
    Ok(framing.place())
}

/// How a parser may treat bytes that the standard forbids.
#[derive(Clone, Copy)]
struct Reader {
    /// A bare LF ends a line.
    bare_lf: bool,
    /// A bare CR ends a line.
    bare_cr: bool,
    /// Content-Length takes precedence over chunked.
    prefers_length: bool,
    /// The last of several lengths counts; otherwise the first.
    last_length: bool,
    /// Any transfer encoding that contains chunked, in upper or lower case, means chunked; otherwise only the exact
    /// value.
    any_chunked: bool,
    /// A length may have a sign, and ends where its digits end.
    loose_numbers: bool,
    /// Spaces around header names are dropped.
    loose_names: bool,
    /// A line that begins with a space continues the previous one (obs-fold).
    folds: bool,
}

const STRICT: Reader = Reader {
    bare_lf: false,
    bare_cr: false,
    prefers_length: false,
    last_length: false,
    any_chunked: false,
    loose_numbers: false,
    loose_names: false,
    folds: false,
};

const READERS: [(&str, Reader); 9] = [
    ("bare LF", Reader { bare_lf: true, ..STRICT }),
    ("bare CR", Reader { bare_cr: true, ..STRICT }),
    ("length first", Reader { prefers_length: true, ..STRICT }),
    ("last length", Reader { last_length: true, ..STRICT }),
    ("any chunked", Reader { any_chunked: true, ..STRICT }),
    ("loose numbers", Reader { loose_numbers: true, ..STRICT }),
    ("loose names", Reader { loose_names: true, ..STRICT }),
    ("folds", Reader { folds: true, ..STRICT }),
    (
        "all at once",
        Reader {
            bare_lf: true,
            bare_cr: true,
            prefers_length: true,
            last_length: true,
            any_chunked: true,
            loose_numbers: true,
            loose_names: true,
            folds: true,
        },
    ),
];

impl Reader {
    /// Start of each complete request, and start and end of its body.
    fn requests(self, bytes: &[u8]) -> Vec<(usize, usize, usize)> {
        let (mut at, mut found) = (0, Vec::new());
        while let Some((head, body)) = self.head(bytes, at) {
            let Some(end) = self.end(bytes, &head, body) else { break };
            found.push((at, body, end));
            at = end;
        }
        found
    }

    /// Text of a line, and the start of the next one.
    fn line(self, bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
        let ends = |(index, byte): (usize, &u8)| match byte {
            b'\n' => self.bare_lf || (index > 0 && bytes[at + index - 1] == b'\r'),
            b'\r' => self.bare_cr && bytes.get(at + index + 1).is_some_and(|next| *next != b'\n'),
            _ => false,
        };
        let end = at + bytes[at..].iter().enumerate().position(ends)?;
        let text = &bytes[at..end];
        Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
    }

    fn head(self, bytes: &[u8], at: usize) -> Option<(Vec<Vec<u8>>, usize)> {
        let (mut lines, mut at) = (Vec::<Vec<u8>>::new(), at);
        loop {
            let (line, next) = self.line(bytes, at)?;
            at = next;
            match line {
                // One empty line before a request is skipped.
                [] if lines.is_empty() => {}
                [] => return Some((lines, at)),
                [b' ' | b'\t', ..] if self.folds && !lines.is_empty() => {
                    lines.last_mut().expect("a line").extend_from_slice(line)
                }
                line => lines.push(line.to_vec()),
            }
        }
    }

    fn end(self, bytes: &[u8], head: &[Vec<u8>], body: usize) -> Option<usize> {
        let (mut lengths, mut chunked) = (Vec::new(), false);
        for line in &head[1..] {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let mut name = line[..colon].to_ascii_lowercase();
            if self.loose_names {
                name = name.trim_ascii().to_vec();
            }
            let value = line[colon + 1..].trim_ascii();
            match &name[..] {
                b"content-length" => lengths.extend(self.number(value, 10)),
                b"transfer-encoding" if self.any_chunked => {
                    chunked |= value.to_ascii_lowercase().windows(7).any(|word| word == b"chunked");
                }
                b"transfer-encoding" => chunked |= value == b"chunked",
                _ => {}
            }
        }
        let length = if self.last_length { lengths.last() } else { lengths.first() }.copied();
        match (chunked, length) {
            (true, Some(length)) if self.prefers_length => self.sized(bytes, body, length),
            (true, _) => self.chunks(bytes, body),
            (false, length) => self.sized(bytes, body, length.unwrap_or(0)),
        }
    }

    fn sized(self, bytes: &[u8], at: usize, length: u64) -> Option<usize> {
        at.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= bytes.len())
    }

    fn chunks(self, bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let (size, next) = self.line(bytes, at)?;
            let size = size.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = self.number(size, 16)?;
            at = next;
            if size == 0 {
                break;
            }
            at = self.sized(bytes, at, size)?;
            at = self.line(bytes, at)?.1;
        }
        loop {
            let (trailer, next) = self.line(bytes, at)?;
            at = next;
            if trailer.is_empty() {
                return Some(at);
            }
        }
    }

    fn number(self, text: &[u8], radix: u32) -> Option<u64> {
        let mut text = std::str::from_utf8(text).ok()?;
        if self.loose_numbers {
            text = text.trim().trim_start_matches(['+', '-']).trim_start_matches("0x");
            let end = text.find(|digit: char| !digit.is_digit(radix)).unwrap_or(text.len());
            text = &text[..end];
        }
        u64::from_str_radix(text, radix).ok()
    }
}
