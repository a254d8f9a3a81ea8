//! Parser of captured requests: a raw HTTP/1.1 message (`capture`, tcpdump, `sign --format http`) or an entry of a HAR
//! file. It is lenient about line endings of the headers, since editors change them, and exact about the body.

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use serde_json::Value;

/// Maximum number of headers of a captured request.
const MAX_HEADERS: usize = 256;

/// A captured request: method, target, headers and body.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Captured {
    pub(in crate::cli) head: Parts,
    pub(in crate::cli) body: Vec<u8>,
}

impl Captured {
    /// Host and port as in the Host header, or else in the request target; `localhost` if neither has them.
    pub(in crate::cli) fn host(&self) -> &str {
        let field = self.head.headers.get(HOST).and_then(|value| value.to_str().ok());
        field.or_else(|| self.head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or("localhost")
    }
}

pub(in crate::cli) fn read(bytes: &[u8]) -> anyhow::Result<Captured> {
    if bytes.trim_ascii_start().starts_with(b"{") { from_har(bytes) } else { from_message(bytes) }
}

fn from_message(bytes: &[u8]) -> anyhow::Result<Captured> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut message = httparse::Request::new(&mut fields);
    let status = message.parse(bytes).context("not an HTTP/1.1 message")?;
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
    Ok(Captured { head, body: body.to_vec() })
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
    Ok(Captured { head, body })
}
