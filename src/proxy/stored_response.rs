//! A response as stored for an idempotency key: status, headers and body as an HTTP/1.1 message. Hop-by-hop headers,
//! trailers and cookies are left out, since they belong to one connection or one client. Of a large response only the
//! status is stored.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, SET_COOKIE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};

use super::response_body::ResponseContent;

/// Maximum bytes of a stored body.
const MAX_BODY: usize = 64 * 1024;

/// Maximum number of headers that are read back.
const MAX_FIELDS: usize = 256;

/// Marks a stored response that is sent again (draft-ietf-httpapi-idempotency-key-header, appendix).
static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Stores a response while it is streamed to the client.
pub(super) struct ResponseRecorder {
    head: Vec<u8>,
    /// `None` once the body exceeds the maximum.
    body: Option<Vec<u8>>,
}

impl ResponseRecorder {
    /// For the response with these headers, from which hop-by-hop headers were removed.
    pub(super) fn new(head: &response::Parts) -> Self {
        let mut text = status_line(head.status);
        for (name, value) in &head.headers {
            if ![SET_COOKIE, CONTENT_LENGTH, DATE, TRAILER].contains(name) {
                text.extend_from_slice(name.as_str().as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(value.as_bytes());
                text.extend_from_slice(b"\r\n");
            }
        }
        Self { head: text, body: Some(Vec::new()) }
    }

    /// Adds a part of the body.
    pub(super) fn add(&mut self, data: &[u8]) {
        match &mut self.body {
            Some(body) if body.len().saturating_add(data.len()) <= MAX_BODY => body.extend_from_slice(data),
            Some(_) | None => self.body = None,
        }
    }

    /// The message to store.
    pub(super) fn into_message(mut self, status: StatusCode) -> Bytes {
        let body = self.body.take().unwrap_or_else(|| {
            self.head = status_line(status);
            Vec::new()
        });
        [self.head.as_slice(), b"\r\n", body.as_slice()].concat().into()
    }
}

fn status_line(status: StatusCode) -> Vec<u8> {
    format!("HTTP/1.1 {}\r\n", status.as_u16()).into_bytes()
}

/// The stored response; `None` if it cannot be parsed, for example after a change of format by a later version.
pub(super) fn read(stored: &Bytes) -> Option<Response<ResponseContent>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut message = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = message.parse(stored).ok()? else { return None };
    let body = Some(stored.slice(length..)).filter(|body| !body.is_empty());
    let mut headers = HeaderMap::new();
    for field in message.headers.iter() {
        headers.append(field.name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(field.value).ok()?);
    }
    headers.insert(&IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    let mut response = Response::new(ResponseContent::Own(body));
    *response.status_mut() = StatusCode::from_u16(message.code?).ok()?;
    *response.headers_mut() = headers;
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(size: usize) -> Response<ResponseContent> {
        let reply = Response::builder().status(201).header("x-a", "1").header("set-cookie", "s=1").body(()).unwrap();
        let (head, ()) = reply.into_parts();
        let mut recorder = ResponseRecorder::new(&head);
        recorder.add(&vec![b'x'; size]);
        read(&recorder.into_message(head.status)).unwrap()
    }

    #[test]
    fn a_stored_response_comes_back_without_its_cookies() {
        let again = store(3);
        assert_eq!(again.status(), 201);
        assert_eq!(again.headers()["x-a"], "1");
        assert_eq!(again.headers()["idempotent-replayed"], "true");
        assert!(!again.headers().contains_key("set-cookie"));
        assert!(matches!(again.body(), ResponseContent::Own(Some(body)) if body == "xxx"));
    }

    #[test]
    fn of_a_large_response_the_status_comes_back() {
        assert!(matches!(store(MAX_BODY).body(), ResponseContent::Own(Some(_))));
        let again = store(MAX_BODY + 1);
        assert_eq!((again.status().as_u16(), again.headers().len()), (201, 1));
        assert!(matches!(again.body(), ResponseContent::Own(None)));
    }
}
