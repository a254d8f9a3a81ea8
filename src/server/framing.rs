//! HTTP/1 framing validator against request smuggling. It follows the bytes of a connection before hyper sees them:
//! request headers by strict rules, and each body to its end, so that pipelined requests are validated as well.
//!
//! hyper is lenient where implementations differ (it accepts Content-Length together with chunked, equal lengths twice,
//! a bare LF, chunk extensions) and drops what it has read, and an upstream or proxy behind the gateway may read the
//! same bytes differently. Bytes that have two readings (RFC 9112 §2.2, §5.1, §5.2, §6, §7.1, §11.2) are rejected,
//! never repaired.

use http::Uri;
use memchr::memchr;

use crate::reason::Reason;
use crate::snapshot::ListenerLimits;

/// Request headers are read up to this multiple of their limit before the connection is cut off: up to there, headers
/// that are too large get a response with a request id. hyper rejects without one, so its own limit is one byte higher
/// and never reached.
pub const SLACK: usize = 2;

/// Maximum digits of a chunk size: as many as fit into 64 bits.
const SIZE_DIGITS: usize = 16;

/// Maximum digits of Content-Length: too few to overflow.
const LENGTH_DIGITS: usize = 19;

/// How a connection has broken the framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// Two implementations could see different requests; the cause, for the log.
    Ambiguous(&'static str),
    /// The target has a fragment (Istio CVE-2021-39156), which hyper would cut off silently.
    Fragment,
    /// The target is no URL for the parser, whose own response would have neither a body nor a log line.
    Target,
    /// Longer than any request headers may be.
    TooLarge,
}

impl FramingError {
    /// The reason that is sent to the client.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Ambiguous(_) => Reason::AmbiguousFraming,
            Self::Fragment => Reason::AmbiguousPath,
            Self::Target => Reason::InvalidTarget,
            Self::TooLarge => Reason::HeadersTooLarge,
        }
    }

    /// The log's field `detail`.
    pub const fn detail(self) -> Option<&'static str> {
        match self {
            Self::Ambiguous(cause) => Some(cause),
            Self::Fragment => Some("a fragment in the target"),
            Self::Target | Self::TooLarge => None,
        }
    }
}

/// Position of a connection within its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingPosition {
    /// All bytes so far belong to complete requests.
    Between,
    /// Request headers have begun.
    InHead,
    /// Request headers are complete, and their body is not.
    InBody,
}

/// Validator of one connection.
#[derive(Debug)]
pub struct FramingValidator {
    at: ValidatorState,
    head: Head,
    /// The beginning of an incomplete line.
    line: Vec<u8>,
    /// Maximum bytes of request headers, or of trailers.
    max_head: usize,
    /// Maximum number of headers.
    max_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValidatorState {
    /// In the request line and headers.
    Head,
    /// In a body, with this number of bytes left.
    Body(u64),
    /// At a chunk size.
    ChunkSize,
    /// In a chunk, with this number of bytes left.
    Chunk(u64),
    /// At the line break after a chunk.
    ChunkEnd,
    /// In the trailers, after the last chunk.
    Trailers,
}

/// Request headers, as far as they are parsed.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Bytes of their lines.
    bytes: usize,
    fields: usize,
    /// An empty line came before them (RFC 9112 §2.2 allows one).
    blank: bool,
    /// The request line is complete.
    begun: bool,
    old: bool,
    length: Option<u64>,
    chunked: bool,
}

impl FramingValidator {
    /// A validator that is at the first request.
    pub fn new(limits: &ListenerLimits) -> Self {
        let head_bytes = usize::try_from(limits.max_headers_size).unwrap_or(usize::MAX);
        let max_head = head_bytes.saturating_mul(SLACK);
        Self {
            at: ValidatorState::Head,
            head: Head::default(),
            line: Vec::new(),
            max_head,
            max_fields: limits.max_headers_count,
        }
    }

    /// Validates the bytes received. Bytes before a violation may still be passed on: they belong to complete requests,
    /// or to request headers that will never be complete.
    ///
    /// # Errors
    /// The number of valid bytes, and how the bytes after them break the framing.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, FramingError)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let good = bytes.len() - rest.len();
            rest = self.step(rest).map_err(|error| (good, error))?;
        }
        Ok(())
    }

    /// Position of the next byte.
    pub fn place(&self) -> FramingPosition {
        match self.at {
            ValidatorState::Head if self.head.bytes == 0 && self.line.is_empty() => FramingPosition::Between,
            ValidatorState::Head => FramingPosition::InHead,
            ValidatorState::Body(_)
            | ValidatorState::ChunkSize
            | ValidatorState::Chunk(_)
            | ValidatorState::ChunkEnd
            | ValidatorState::Trailers => FramingPosition::InBody,
        }
    }

    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FramingError> {
        match self.at {
            ValidatorState::Body(left) => Ok(self.skip(bytes, left, ValidatorState::Body, ValidatorState::Head)),
            ValidatorState::Chunk(left) => Ok(self.skip(bytes, left, ValidatorState::Chunk, ValidatorState::ChunkEnd)),
            ValidatorState::Head | ValidatorState::ChunkSize | ValidatorState::ChunkEnd | ValidatorState::Trailers => {
                self.read_line(bytes)
            }
        }
    }

    fn skip<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        within: fn(u64) -> ValidatorState,
        then: ValidatorState,
    ) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.at = if left == 0 { then } else { within(left) };
        bytes.get(here..).unwrap_or_default()
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FramingError> {
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

    /// Stores an incomplete line, whose bytes were passed on already. A CR is allowed only before the LF: some
    /// implementations would end the line at it.
    fn keep(&mut self, piece: &[u8]) -> Result<(), FramingError> {
        if self.line.last() == Some(&b'\r') && !piece.is_empty() {
            return Err(FramingError::Ambiguous(CONTROL));
        }
        check_text(piece.strip_suffix(b"\r").unwrap_or(piece))?;
        self.line.extend_from_slice(piece);
        self.check_size(self.line.len())
    }

    fn check_size(&self, line: usize) -> Result<(), FramingError> {
        let longest = match self.at {
            ValidatorState::ChunkSize => SIZE_DIGITS + 1,
            ValidatorState::ChunkEnd => 1,
            ValidatorState::Head | ValidatorState::Body(_) | ValidatorState::Chunk(_) | ValidatorState::Trailers => {
                usize::MAX
            }
        };
        if line > longest {
            return Err(FramingError::Ambiguous("a chunk that does not end where its size says, or an invalid size"));
        }
        if line + self.head.bytes > self.max_head { Err(FramingError::TooLarge) } else { Ok(()) }
    }

    /// Processes a line, without its LF.
    fn end_line(&mut self, line: &[u8]) -> Result<(), FramingError> {
        self.check_size(line.len())?;
        let text = line.strip_suffix(b"\r").ok_or(FramingError::Ambiguous("an LF without CR"))?;
        check_text(text)?;
        self.at = match (self.at, text) {
            (ValidatorState::Head, text) => self.head_line(text)?,
            (ValidatorState::ChunkSize, digits) => match number(digits, SIZE_DIGITS, 16)? {
                0 => ValidatorState::Trailers,
                size => ValidatorState::Chunk(size),
            },
            (ValidatorState::ChunkEnd, []) => ValidatorState::ChunkSize,
            (ValidatorState::Trailers, []) => {
                self.head = Head::default();
                ValidatorState::Head
            }
            (ValidatorState::Trailers, text) => {
                field(text)?;
                self.head.bytes += line.len() + 1;
                ValidatorState::Trailers
            }
            (ValidatorState::ChunkEnd | ValidatorState::Body(_) | ValidatorState::Chunk(_), _) => {
                return Err(FramingError::Ambiguous("a chunk that does not end where its size says"));
            }
        };
        Ok(())
    }

    fn head_line(&mut self, text: &[u8]) -> Result<ValidatorState, FramingError> {
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
                    (true, _) => ValidatorState::ChunkSize,
                    (false, None | Some(0)) => ValidatorState::Head,
                    (false, Some(length)) => ValidatorState::Body(length),
                });
            }
            (true, _) if head.fields >= self.max_fields => return Err(FramingError::TooLarge),
            (true, text) => head.field(text)?,
        }
        Ok(ValidatorState::Head)
    }
}

impl Head {
    fn field(&mut self, text: &[u8]) -> Result<(), FramingError> {
        let (name, value) = field(text)?;
        self.fields += 1;
        if name.eq_ignore_ascii_case(b"content-length") {
            let first = self.length.is_none() && !self.chunked;
            self.length = Some(number(value, LENGTH_DIGITS, 10)?);
            return if first {
                Ok(())
            } else {
                Err(FramingError::Ambiguous("Content-Length twice, or with Transfer-Encoding"))
            };
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let alone = self.length.is_none() && !self.chunked && !self.old;
            self.chunked = true;
            let cause = "Transfer-Encoding other than one `chunked` without Content-Length in HTTP/1.1";
            return if alone && value == b"chunked" { Ok(()) } else { Err(FramingError::Ambiguous(cause)) };
        }
        Ok(())
    }
}

const CONTROL: &str = "a control character in a line, such as a CR without LF";

/// Rejects control characters except HTAB: a CR, a NUL or an escape that one implementation drops may end a line for
/// another.
fn check_text(text: &[u8]) -> Result<(), FramingError> {
    let control = text.iter().fold(false, |found, byte| found | ((*byte < b' ' && *byte != b'\t') | (*byte == 0x7f)));
    if control { Err(FramingError::Ambiguous(CONTROL)) } else { Ok(()) }
}

/// Parses `METHOD SP target SP HTTP/1.x`; returns whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, FramingError> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(FramingError::Ambiguous("the first line is not `METHOD target HTTP/1.1`"));
    };
    if !is_token(method) || target.is_empty() || target.contains(&b'\t') {
        return Err(FramingError::Ambiguous("an invalid method or target"));
    }
    if memchr(b'#', target).is_some() {
        return Err(FramingError::Fragment);
    }
    if !is_plain(target) && Uri::try_from(target).is_err() {
        return Err(FramingError::Target);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(FramingError::Ambiguous("a version other than HTTP/1.1 and HTTP/1.0")),
    }
}

/// Whether the parser takes the target for certain: in origin form, without the bytes that it rejects or validates in the
/// path or the query (RFC 3986 §2).
fn is_plain(target: &[u8]) -> bool {
    let special = |byte: u8| matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..);
    target.first() == Some(&b'/') && !target.iter().fold(false, |found, byte| found | special(*byte))
}

const FIELD: &str = "a header line that is not `name: value`";

/// Name and value of a header line. A line that begins with a space would continue the previous one (obs-fold).
fn field(text: &[u8]) -> Result<(&[u8], &[u8]), FramingError> {
    let (name, value) =
        memchr(b':', text).and_then(|colon| text.split_at_checked(colon)).ok_or(FramingError::Ambiguous(FIELD))?;
    if !is_token(name) {
        return Err(FramingError::Ambiguous(FIELD));
    }
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

/// A token (RFC 9110 §5.6.2).
fn is_token(name: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(token)
}

fn number(digits: &[u8], most: usize, radix: u32) -> Result<u64, FramingError> {
    let plain = digits.len() <= most && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain);
    text.and_then(|text| u64::from_str_radix(text, radix).ok())
        .ok_or(FramingError::Ambiguous("an invalid Content-Length or chunk size"))
}

#[cfg(test)]
mod tests;
