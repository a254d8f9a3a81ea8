//! A request under construction: the authentication schemes fill it in, then it is printed or sent.

use std::path::Path;

use anyhow::Context;
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderName, Method, Request};
use serde_json::{Map, Value, json};

use crate::auth::RequestView;
use crate::auth::claims::{ClaimTest, Pointer};
use crate::auth::locator::Locator;
use crate::auth::request::Pair;
use crate::route::Route;

/// A request under construction.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Draft {
    pub(in crate::cli) method: Method,
    /// Scheme and authority of the gateway, such as `https://localhost:8443`.
    pub(in crate::cli) gateway: String,
    /// Value of the Host header.
    pub(in crate::cli) host: String,
    /// Path and query.
    pub(in crate::cli) target: String,
    pub(in crate::cli) headers: Vec<(String, String)>,
    pub(in crate::cli) body: Vec<u8>,
}

impl Draft {
    pub(in crate::cli) fn head(&self) -> anyhow::Result<Parts> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.target).header("host", &self.host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.body(())?.into_parts().0)
    }

    /// The request as the verification sees it.
    pub(in crate::cli) fn view<'a>(&'a self, head: &'a Parts, route: &'a Route) -> RequestView<'a> {
        RequestView::new(head, route.url_base(&self.host)).with_body(&self.body).with_tenant(self.tenant(route))
    }

    /// The tenant that the path names.
    pub(in crate::cli) fn tenant(&self, route: &Route) -> Option<&str> {
        route.matches.tenant(self.target.split('?').next().unwrap_or_default())
    }

    pub(in crate::cli) fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name.as_str()))
    }

    pub(in crate::cli) fn set_header(&mut self, name: &HeaderName, value: impl Into<String>) {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name.as_str()));
        self.headers.push((name.as_str().to_owned(), value.into()));
    }

    /// Puts a value into this place; text is a JSON string. A claim is in a token, which is made apart.
    pub(in crate::cli) fn place(&mut self, locator: &Locator, value: impl Into<Value>) -> anyhow::Result<()> {
        let value = value.into();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match locator {
            Locator::Header { name, scheme: Some(scheme) } => self.set_header(name, scheme.prepend_to(&text)),
            Locator::Header { name, scheme: None } => self.set_header(name, text),
            Locator::Query(name) => self.add_query(name, &text),
            Locator::Cookie(name) => self.set_header(&COOKIE, format!("{name}={text}")),
            Locator::Form(name) => self.set_field(name, &text),
            Locator::Json(pointer) => self.set_json(pointer, value)?,
            Locator::Body => {
                self.body = text.into_bytes();
                self.content_type("application/jwt");
            }
            Locator::Claim(_) => {}
        }
        Ok(())
    }

    /// Whether there is a value in this header, form field or member of the body.
    pub(in crate::cli) fn has(&self, locator: &Locator) -> bool {
        match locator {
            Locator::Header { name, .. } => self.has_header(name),
            Locator::Form(field) => url::form_urlencoded::parse(&self.body).any(|(found, _)| found == *field),
            Locator::Json(pointer) => pointer.find_in(&self.json()).is_some(),
            Locator::Query(_) | Locator::Cookie(_) | Locator::Body | Locator::Claim(_) => false,
        }
    }

    pub(in crate::cli) fn add_query(&mut self, name: &str, value: &str) {
        let pair = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        let sign = if self.target.contains('?') { '&' } else { '?' };
        self.target.push_str(&format!("{sign}{pair}"));
    }

    pub(in crate::cli) fn content_type(&mut self, value: &str) {
        self.set_header(&http::header::CONTENT_TYPE, value);
    }

    /// Sets a field of a form body; a body that is not a form is replaced by one.
    pub(in crate::cli) fn set_field(&mut self, name: &str, value: &str) {
        let is_form = self.headers.iter().any(|(_, value)| value.starts_with("application/x-www-form-urlencoded"));
        let before = if is_form { self.body.clone() } else { Vec::new() };
        let pairs: Vec<Pair<'_>> = url::form_urlencoded::parse(&before).filter(|(found, _)| found != name).collect();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs).append_pair(name, value);
        self.body = form.finish().into_bytes();
        self.content_type("application/x-www-form-urlencoded");
    }

    pub(in crate::cli) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| json!({}))
    }

    /// Sets a member of a JSON body; a body that is not JSON is replaced by an object.
    pub(in crate::cli) fn set_json(&mut self, pointer: &Pointer, value: Value) -> anyhow::Result<()> {
        let mut body = self.json();
        set(&mut body, &pointer.to_string(), value)?;
        self.body = serde_json::to_vec(&body)?;
        self.content_type("application/json");
        Ok(())
    }

    /// A curl command line for a POSIX shell.
    pub(in crate::cli) fn curl(&self, ca: Option<&Path>, body: Option<&Path>) -> String {
        let mut words = vec!["curl -i".to_owned()];
        words.extend(ca.map(|ca| format!("--cacert {}", quoted(&ca.display().to_string()))));
        words.push(format!("-X {}", self.method));
        if self.gateway.split_once("://").is_none_or(|(_, rest)| rest != self.host) {
            words.push(format!("-H {}", quoted(&format!("Host: {}", self.host))));
        }
        words.extend(self.headers.iter().map(|(name, value)| format!("-H {}", quoted(&format!("{name}: {value}")))));
        words.push(match body {
            Some(file) => format!("--data-binary {}", quoted(&format!("@{}", file.display()))),
            None => format!("--data-binary {}", quoted(&String::from_utf8_lossy(&self.body))),
        });
        words.push(quoted(&format!("{}{}", self.gateway, self.target)));
        words.join(" ")
    }

    /// The HTTP/1.1 message, which `hookgate explain` reads.
    pub(in crate::cli) fn message(&self) -> Vec<u8> {
        let mut message = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        message.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        [message.as_bytes(), &self.body].concat()
    }
}

/// A value that satisfies a rule; `None` for a pattern, and for a member that must be absent.
pub(in crate::cli) fn satisfying(test: &ClaimTest) -> Option<Value> {
    match test {
        ClaimTest::Equals(value) => Some(value.clone()),
        ClaimTest::OneOf(values) => values.first().cloned(),
        ClaimTest::ContainsAny(values) => values.first().map(|value| json!([value])),
        ClaimTest::Contains(value) => Some(json!([value])),
        ClaimTest::Prefix(prefix) => Some(prefix.clone().into()),
        ClaimTest::Exists(true) => Some("development".into()),
        ClaimTest::Exists(false) | ClaimTest::Matches(_) => None,
    }
}

/// Sets the value at a JSON pointer and creates the parents that are missing: an array where the segment is a number
/// below 16, or else an object.
pub(in crate::cli) fn set(root: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    let mut at = root;
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        at = match segment.parse::<usize>() {
            Ok(index) if index < 16 => item(at, index)?,
            Ok(_) | Err(_) => member(at, segment).with_context(|| format!("{pointer}: the parent is not an object"))?,
        };
    }
    *at = value;
    Ok(())
}

fn member(at: &mut Value, name: String) -> Option<&mut Value> {
    if at.is_null() {
        *at = Value::Object(Map::new());
    }
    Some(at.as_object_mut()?.entry(name).or_insert(Value::Null))
}

fn item(at: &mut Value, index: usize) -> anyhow::Result<&mut Value> {
    if at.is_null() {
        *at = json!([]);
    }
    let items = at.as_array_mut().context("the parent is not an array")?;
    while items.len() <= index {
        items.push(Value::Null);
    }
    items.get_mut(index).context("the parent is not an array")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_created_with_their_parents() {
        let mut body = json!({});
        set(&mut body, "/a/b~1c", json!(1)).unwrap();
        set(&mut body, "/d", json!(2)).unwrap();
        set(&mut body, "/l/0/x", json!(3)).unwrap();
        assert_eq!(body, json!({"a": {"b/c": 1}, "d": 2, "l": [{"x": 3}]}));
        assert!(set(&mut body, "/d/e", json!(1)).is_err());
    }

    #[test]
    fn every_rule_but_a_pattern_is_satisfied() {
        let tests = [
            ClaimTest::Equals(json!("x")),
            ClaimTest::OneOf(vec![json!(1), json!(2)]),
            ClaimTest::Contains(json!("y")),
            ClaimTest::Prefix("p:".into()),
            ClaimTest::Exists(true),
        ];
        let values = tests.iter().map(|test| satisfying(test).unwrap());
        assert_eq!(values.collect::<Vec<_>>(), [json!("x"), json!(1), json!(["y"]), json!("p:"), json!("development")]);
        assert_eq!(satisfying(&ClaimTest::Exists(false)), None);
        assert_eq!(satisfying(&ClaimTest::matches("[0-9]").unwrap()), None);
    }
}
