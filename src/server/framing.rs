//! One request or two? The bytes of an HTTP/1 connection are followed here before hyper sees them: each head by strict
//! rules, each body to its end, so that a head behind another one is judged as well.
//!
//! hyper is lenient where programs differ (it takes a length beside chunked, equal lengths twice, a bare LF, chunk
//! extensions) and drops what it has seen, and an app or proxy behind us may read the same bytes in another way.
//! Whatever has two readings (RFC 9112 §2.2, §5.1, §5.2, §6, §7.1, §11.2) is refused, never repaired.

use memchr::memchr;

use crate::failure::Failure;
use crate::snapshot::ListenerLimits;

/// A head may come so many times as long as its limit before it is cut off; up to there its refusal is a reply with an
/// id. hyper, which says no without a word, gets one byte more and never sees it.
pub(super) const SLACK: usize = 2;

/// Digits of a chunk's size: as many as fit.
const SIZE_DIGITS: usize = 16;

/// Digits of a length: fewer than could overflow.
const LENGTH_DIGITS: usize = 19;

/// How a connection has broken the framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unframed {
    /// Two programs could see different requests.
    Ambiguous,
    /// A fragment (Istio CVE-2021-39156): hyper cuts it off without a word.
    Fragment,
    /// Longer than any head may be.
    TooLarge,
}

impl Unframed {
    /// What is answered.
    pub fn failure(self) -> Failure {
        match self {
            Self::Ambiguous => Failure::AmbiguousFraming,
            Self::Fragment => Failure::AmbiguousPath,
            Self::TooLarge => Failure::HeadersTooLarge,
        }
    }
}

/// Where a connection is in its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All that came belongs to whole requests.
    Between,
    /// A head has begun.
    InHead,
    /// A head is whole and its body is not.
    InBody,
}

/// Where the bytes of a connection have come to.
#[derive(Debug)]
pub struct Framing {
    at: At,
    head: Head,
    /// The beginning of a line that has not ended yet.
    line: Vec<u8>,
    /// Bytes of a head, or of trailers, at most.
    max_head: usize,
    /// Its fields, at most.
    max_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a head's lines.
    Head,
    /// In a body with so many bytes left.
    Body(u64),
    /// At a chunk's size.
    ChunkSize,
    /// In a chunk with so many bytes left.
    Chunk(u64),
    /// At the empty line after a chunk.
    ChunkEnd,
    /// After the last chunk.
    Trailers,
}

/// What a head has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Bytes of its lines.
    bytes: usize,
    fields: usize,
    /// An empty line before it (RFC 9112 §2.2 lets one pass).
    blank: bool,
    /// Its first line has come.
    begun: bool,
    old: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// At the first head.
    pub fn new(limits: &ListenerLimits) -> Self {
        let head_bytes = usize::try_from(limits.head_bytes).unwrap_or(usize::MAX);
        let max_head = head_bytes.saturating_mul(SLACK);
        Self { at: At::Head, head: Head::default(), line: Vec::new(), max_head, max_fields: limits.headers }
    }

    /// Follows what has come. Of bytes that break the framing, those before them may still be handed on: they belong to
    /// requests that are whole, or to a head that will never be.
    ///
    /// # Errors
    /// How many bytes are good, and what the next ones are.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, Unframed)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let good = bytes.len() - rest.len();
            rest = self.step(rest).map_err(|unframed| (good, unframed))?;
        }
        Ok(())
    }

    /// Where the next byte belongs.
    pub fn place(&self) -> Place {
        match self.at {
            At::Head if self.head.bytes == 0 && self.line.is_empty() => Place::Between,
            At::Head => Place::InHead,
            At::Body(_) | At::ChunkSize | At::Chunk(_) | At::ChunkEnd | At::Trailers => Place::InBody,
        }
    }

    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Unframed> {
        match self.at {
            At::Body(left) => Ok(self.skip(bytes, left, At::Body, At::Head)),
            At::Chunk(left) => Ok(self.skip(bytes, left, At::Chunk, At::ChunkEnd)),
            At::Head | At::ChunkSize | At::ChunkEnd | At::Trailers => self.read_line(bytes),
        }
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, within: fn(u64) -> At, then: At) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.at = if left == 0 { then } else { within(left) };
        bytes.get(here..).unwrap_or_default()
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Unframed> {
        let Some((line, rest)) = memchr(b'\n', bytes).and_then(|end| bytes.split_at_checked(end)) else {
            self.keep(bytes)?;
            return Ok(&[]);
        };
        if self.line.is_empty() {
            self.end_line(line)?;
        } else {
            self.keep(line)?;
            let line = std::mem::take(&mut self.line);
            self.end_line(&line)?;
        }
        Ok(rest.get(1..).unwrap_or_default())
    }

    /// What is not whole yet was handed on already. A CR in it ends the line, or would end it for somebody.
    fn keep(&mut self, piece: &[u8]) -> Result<(), Unframed> {
        if self.line.last() == Some(&b'\r') && !piece.is_empty() {
            return Err(Unframed::Ambiguous);
        }
        check_text(piece.strip_suffix(b"\r").unwrap_or(piece))?;
        self.line.extend_from_slice(piece);
        self.check_size(self.line.len())
    }

    fn check_size(&self, line: usize) -> Result<(), Unframed> {
        match self.at {
            At::ChunkSize if line > SIZE_DIGITS + 1 => Err(Unframed::Ambiguous),
            At::ChunkEnd if line > 1 => Err(Unframed::Ambiguous),
            _ if line + self.head.bytes > self.max_head => Err(Unframed::TooLarge),
            _ => Ok(()),
        }
    }

    /// Without its LF.
    fn end_line(&mut self, line: &[u8]) -> Result<(), Unframed> {
        self.check_size(line.len())?;
        let text = line.strip_suffix(b"\r").ok_or(Unframed::Ambiguous)?;
        check_text(text)?;
        self.at = match (self.at, text) {
            (At::Head, text) => self.head_line(text)?,
            (At::ChunkSize, digits) => match number(digits, SIZE_DIGITS, 16)? {
                0 => At::Trailers,
                size => At::Chunk(size),
            },
            (At::ChunkEnd, []) => At::ChunkSize,
            (At::Trailers, []) => {
                self.head = Head::default();
                At::Head
            }
            (At::Trailers, text) => {
                field(text)?;
                self.head.bytes += line.len() + 1;
                At::Trailers
            }
            (At::ChunkEnd | At::Body(_) | At::Chunk(_), _) => return Err(Unframed::Ambiguous),
        };
        Ok(())
    }

    fn head_line(&mut self, text: &[u8]) -> Result<At, Unframed> {
        let head = &mut self.head;
        head.bytes += text.len() + 2;
        match (head.begun, text) {
            (false, []) if !head.blank => head.blank = true,
            (false, line) => {
                head.old = request_line(line)?;
                head.begun = true;
            }
            (true, []) => {
                let body = std::mem::take(head);
                return Ok(match (body.chunked, body.length) {
                    (true, _) => At::ChunkSize,
                    (false, None | Some(0)) => At::Head,
                    (false, Some(length)) => At::Body(length),
                });
            }
            (true, _) if head.fields >= self.max_fields => return Err(Unframed::TooLarge),
            (true, text) => head.field(text)?,
        }
        Ok(At::Head)
    }
}

impl Head {
    fn field(&mut self, text: &[u8]) -> Result<(), Unframed> {
        let (name, value) = field(text)?;
        self.fields += 1;
        if name.eq_ignore_ascii_case(b"content-length") {
            let first = self.length.is_none() && !self.chunked;
            self.length = Some(number(value, LENGTH_DIGITS, 10)?);
            return if first { Ok(()) } else { Err(Unframed::Ambiguous) };
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let alone = self.length.is_none() && !self.chunked && !self.old;
            self.chunked = true;
            return if alone && value == b"chunked" { Ok(()) } else { Err(Unframed::Ambiguous) };
        }
        Ok(())
    }
}

/// No control character but HTAB: a CR, a NUL or an escape that one program drops and another takes for an end.
fn check_text(text: &[u8]) -> Result<(), Unframed> {
    let control = text.iter().fold(false, |found, byte| found | ((*byte < b' ' && *byte != b'\t') | (*byte == 0x7f)));
    if control { Err(Unframed::Ambiguous) } else { Ok(()) }
}

/// `METHOD SP target SP HTTP/1.x`; whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, Unframed> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Unframed::Ambiguous);
    };
    if !is_token(method) || target.is_empty() || target.contains(&b'\t') {
        return Err(Unframed::Ambiguous);
    }
    if memchr(b'#', target).is_some() {
        return Err(Unframed::Fragment);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Unframed::Ambiguous),
    }
}

/// Name and value of a field line. A line that begins with a space would go on with the one before (obs-fold).
fn field(text: &[u8]) -> Result<(&[u8], &[u8]), Unframed> {
    let (name, value) = memchr(b':', text).and_then(|colon| text.split_at_checked(colon)).ok_or(Unframed::Ambiguous)?;
    if !is_token(name) {
        return Err(Unframed::Ambiguous);
    }
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

/// RFC 9110 §5.6.2.
fn is_token(name: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(token)
}

fn number(digits: &[u8], most: usize, radix: u32) -> Result<u64, Unframed> {
    let plain = digits.len() <= most && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain);
    text.and_then(|text| u64::from_str_radix(text, radix).ok()).ok_or(Unframed::Ambiguous)
}

#[cfg(test)]
mod tests;
