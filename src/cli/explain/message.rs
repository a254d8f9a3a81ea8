//! Parser of captured requests: a raw HTTP/1.1 message (`capture`, tcpdump, `sign --format http`), what `curl -v`
//! prints, or an entry of a HAR file. It is lenient about line endings of the headers, since editors change them, and
//! exact about the body.

use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use serde_json::Value;

use crate::auth::time::TimestampUnit;
use crate::clock::UnixTime;

/// Maximum number of headers of a captured request.
const MAX_HEADERS: usize = 256;

/// Before each line of a request in the output of `curl -v`.
const OF_CURL: &str = "> ";

/// A captured request: method, target, headers and body.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Captured {
    pub(in crate::cli) head: Parts,
    pub(in crate::cli) body: Vec<u8>,
    /// The time that the file states.
    pub(in crate::cli) time: Option<UnixTime>,
}

impl Captured {
    /// Host and port as in the Host header, or else in the request target; `localhost` if neither has them.
    pub(in crate::cli) fn host(&self) -> &str {
        let field = self.head.headers.get(HOST).and_then(|value| value.to_str().ok());
        field.or_else(|| self.head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or("localhost")
    }

    /// Removes a header, for a request that lacks it.
    pub(in crate::cli) fn remove_header(&mut self, name: &str) {
        self.head.headers.remove(name);
    }
}

/// The time of a capture, which its name begins with (`1800000000000-invalid_signature-….http`), or that in a HAR file.
pub(in crate::cli) fn time(path: &Path, captured: &Captured) -> Option<UnixTime> {
    milliseconds(path).and_then(|time| UnixTime::from_seconds(time / 1000)).or(captured.time)
}

/// The time in the name of a capture, in milliseconds.
pub(in crate::cli) fn milliseconds(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.split('-').next()?;
    (digits.len() == 13).then(|| digits.parse().ok())?
}

/// Reads a request; `body` replaces the one in the file.
pub(in crate::cli) fn read(bytes: &[u8], body: Option<&[u8]>) -> anyhow::Result<Captured> {
    let mut captured = if bytes.trim_ascii_start().starts_with(b"{") {
        from_har(bytes)?
    } else if let Some(head) = of_curl(bytes) {
        let captured = from_message(&head)?;
        let length = captured.head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let has_body = captured.head.headers.contains_key("transfer-encoding") || length.is_some_and(|it| it != "0");
        if has_body && body.is_none() {
            bail!("the output of curl -v has no body: pass the file of --data-binary with --body");
        }
        captured
    } else {
        from_message(bytes)?
    };
    if let Some(body) = body {
        captured.body = body.to_vec();
    }
    Ok(captured)
}

/// The headers of the last request in the output of `curl -v`, which may follow redirects.
fn of_curl(output: &[u8]) -> Option<Vec<u8>> {
    let output = String::from_utf8_lossy(output);
    let lines = output.lines().map(|line| line.strip_prefix(OF_CURL).or((line.trim_end() == ">").then_some("")));
    let mut request: Option<String> = None;
    for line in lines.flatten() {
        let is_first = line.trim_end().rsplit_once(' ').is_some_and(|(_, version)| version.starts_with("HTTP/"));
        if is_first {
            request = Some(String::new());
        }
        request.iter_mut().for_each(|request| request.extend([line.trim_end(), "\r\n"]));
    }
    request.map(|request| format!("{}\r\n\r\n", request.trim_end()).into_bytes())
}

/// The message with `HTTP/1.1` in its first line: clients print a request of HTTP/2 or HTTP/3 in this form too.
fn as_http1(bytes: &[u8]) -> Vec<u8> {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let first = String::from_utf8_lossy(first);
    let later = ["HTTP/2", "HTTP/2.0", "HTTP/3"].into_iter().find_map(|version| first.trim_end().strip_suffix(version));
    later.map_or_else(|| bytes.to_vec(), |request| [request.as_bytes(), b"HTTP/1.1\r", rest].concat())
}

fn from_message(bytes: &[u8]) -> anyhow::Result<Captured> {
    let bytes = &*as_http1(bytes);
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut message = httparse::Request::new(&mut fields);
    let status = message.parse(bytes).with_context(|| match broken_line(bytes) {
        Some(line) => format!("not an HTTP/1.1 message: line {line} is no header; a line break in the value above it?"),
        None => "not an HTTP/1.1 message".to_owned(),
    })?;
    let httparse::Status::Complete(end) = status else { bail!("the headers are not terminated by an empty line") };
    let mut request =
        Request::builder().method(message.method.unwrap_or_default()).uri(message.path.unwrap_or_default());
    for field in message.headers.iter() {
        request = request.header(field.name, field.value);
    }
    let head = request.body(()).context("not a request")?.into_parts().0;
    let body = bytes.get(end..).unwrap_or_default();
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // A newline that an editor added after the body is not part of it.
    let body = declared.and_then(|length| body.get(..length)).unwrap_or(body);
    Ok(Captured { head, body: body.to_vec(), time: None })
}

/// The number of the first line of the headers without a colon.
fn broken_line(bytes: &[u8]) -> Option<usize> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate().skip(1);
    let (at, line) = lines.find(|(_, line)| !line.contains(&b':'))?;
    (!line.is_empty()).then_some(at + 1)
}

/// Parses HAR 1.2: the first entry of a log, a single entry, or the request of an entry.
fn from_har(bytes: &[u8]) -> anyhow::Result<Captured> {
    let har: Value = serde_json::from_slice(bytes).context("not a HAR file")?;
    let entry = har.pointer("/log/entries/0").unwrap_or(&har);
    let found = entry.get("request").unwrap_or(entry);
    let text = |name: &str| found.get(name).and_then(Value::as_str).with_context(|| format!("the entry has no {name}"));
    let url: http::Uri = text("url")?.parse().context("url")?;
    let target = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder().method(text("method")?).uri(target);
    let headers = found.get("headers").and_then(Value::as_array);
    for header in headers.into_iter().flatten() {
        let (name, value) = (header.get("name").and_then(Value::as_str), header.get("value").and_then(Value::as_str));
        // Browsers record the pseudo-headers of HTTP/2 as headers.
        if let (Some(name), Some(value)) = (name.filter(|name| !name.starts_with(':')), value) {
            request = request.header(name, value);
        }
    }
    let mut head = request.body(()).context("not a request")?.into_parts().0;
    if let (Some(authority), false) = (url.authority(), head.headers.contains_key(HOST)) {
        head.headers.insert(HOST, authority.as_str().parse()?);
    }
    let body = found.pointer("/postData/text").and_then(Value::as_str).unwrap_or_default();
    let body = match found.pointer("/postData/encoding").and_then(Value::as_str) {
        Some("base64") => STANDARD.decode(body).context("postData")?,
        Some(_) | None => body.as_bytes().to_vec(),
    };
    let started = entry.get("startedDateTime").and_then(Value::as_str);
    Ok(Captured { head, body, time: started.and_then(|time| TimestampUnit::Rfc3339.read(time)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_CURL: &str =
        "* Connected to localhost\n> POST /a HTTP/2\n> Host: a\n> Content-Length: 2\n> \n} [2 bytes]\n";

    #[test]
    fn the_output_of_curl_is_read_and_its_body_is_in_a_file() {
        let captured = read(OF_CURL.as_bytes(), Some(b"{}")).unwrap();
        assert_eq!((captured.head.uri.path(), captured.host(), &*captured.body), ("/a", "a", &b"{}"[..]));
        assert!(read(OF_CURL.as_bytes(), None).unwrap_err().to_string().contains("--body"));
        let of_get = OF_CURL.replace("> Content-Length: 2\n", "");
        assert!(read(of_get.as_bytes(), None).unwrap().body.is_empty());
    }

    /// curl prints both requests of a redirect.
    #[test]
    fn the_last_request_of_curl_counts() {
        let output = OF_CURL.replace("Content-Length: 2", "X: 1")
            + &OF_CURL.replace("/a", "/b").replace("Length: 2", "Length: 0");
        assert_eq!(read(output.as_bytes(), None).unwrap().head.uri.path(), "/b");
    }

    #[test]
    fn a_line_break_in_a_header_is_named() {
        let error = read(b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nbcd\r\n\r\n", None).unwrap_err();
        assert!(error.to_string().contains("line 4 is no header"), "{error}");
    }

    #[test]
    fn a_capture_has_its_time_in_its_name() {
        let at = |name: &str| milliseconds(Path::new(name));
        assert_eq!(at("captured/r/1800000000999-token_expired-a.http"), Some(1_800_000_000_999));
        assert_eq!((at("request.http"), at("20270115-a.http"), at("18000000o0000-x.http")), (None, None, None));
    }

    #[test]
    fn a_har_entry_states_its_time() {
        let har = r#"{"startedDateTime":"2027-01-15T08:00:00.5Z","request":{"method":"GET","url":"https://a/b"}}"#;
        assert_eq!(read(har.as_bytes(), None).unwrap().time.map(UnixTime::seconds), Some(1_800_000_000));
    }
}
