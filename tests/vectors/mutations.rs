//! For every preset: a request with any changed bit of the signed parts or of the signature is rejected.

use std::collections::BTreeSet;

use hookgate::auth::Policy;
use hookgate::auth::jwt::binding::HashPresence;
use hookgate::auth::locator::Locator;
use hookgate::auth::signature::{Component, Parse, SignaturePolicy};
use hookgate::config::Config;
use http::HeaderName;
use http::request::Parts;
use serde_json::Value;

use super::harness::{Case, Verdict, cases, decide};

/// The signed parts of a request.
#[derive(Default)]
struct Signed {
    headers: Vec<HeaderName>,
    /// Token in this header, after its scheme.
    tokens: Vec<HeaderName>,
    body: bool,
    form: bool,
    pointers: Vec<String>,
    fields: Vec<String>,
    url: bool,
    path: bool,
    method: bool,
}

#[test]
fn any_changed_bit_that_a_preset_signs_is_rejected() {
    let (mut presets, mut tried) = (BTreeSet::new(), 0_usize);
    for (id, case, valid) in ["signatures.json", "tokens.json"].iter().flat_map(|file| cases(file)) {
        if !valid {
            continue;
        }
        let config = case.compile().unwrap();
        let policy = policy(&config, &case);
        let mut changed = Changed { id: &id, config: &config, head: case.head(), body: case.body(), now: case.now };
        changed.leave_one_signature(&policy);
        assert_eq!(decide(&config, &changed.head, &changed.body, case.now), Verdict::Granted, "{id}");
        let count = changed.all(&signed(&policy));
        assert!(count > 0, "{id}: no part of it is signed");
        tried += count;
        presets.insert(case.auth["preset"].as_str().unwrap().to_owned());
    }
    println!("{tried} changes of {} presets rejected", presets.len());
    assert_eq!(presets.len(), hookgate::config::presets::PRESETS.len());
}

fn policy(config: &Config, case: &Case) -> Policy {
    let head = case.head();
    config.snapshot.routes.find("any", head.uri.path(), &head.method).unwrap().rules.policy.clone()
}

fn signed(policy: &Policy) -> Signed {
    let mut signed = Signed::default();
    match policy {
        Policy::Signature(policy) => of_signature(policy, &mut signed),
        Policy::Jwt(policy) => {
            of_token(&policy.token, &mut signed);
            let bindings = &policy.bindings;
            signed.body |= bindings.body.as_ref().is_some_and(|body| body.presence != HashPresence::Optional);
            signed.url = bindings.url_hash.is_some() || bindings.url.as_ref().is_some_and(|url| url.query);
            signed.path = bindings.url.is_some();
            signed.method = bindings.method.is_some() || bindings.qsh;
        }
        Policy::Detached(policy) => {
            of_token(&policy.token, &mut signed);
            signed.body = true;
        }
        Policy::Token(policy) => match &policy.place {
            Locator::Header { name, scheme: None } => signed.headers.push(name.clone()),
            Locator::Header { name, .. } => signed.tokens.push(name.clone()),
            Locator::Json(_) | Locator::Query(_) | Locator::Form(_) => signed.pointers.push("*".to_owned()),
            other => panic!("no static token is in {other:?}"),
        },
        other => panic!("no preset is {other:?}"),
    }
    signed
}

fn of_token(token: &Locator, signed: &mut Signed) {
    match token {
        Locator::Header { name, .. } => signed.tokens.push(name.clone()),
        Locator::Body => signed.body = true,
        Locator::Json(pointer) => signed.pointers.push(pointer.to_string()),
        Locator::Form(field) => signed.fields.push(field.clone()),
        Locator::Query(_) | Locator::Cookie(_) | Locator::Claim(_) => panic!("no preset has its token there"),
    }
}

fn of_signature(policy: &SignaturePolicy, signed: &mut Signed) {
    for place in &policy.places {
        match place {
            // With several headers, one suffices: changing one leaves the other.
            Locator::Header { name, .. } if policy.places.len() == 1 => signed.headers.push(name.clone()),
            Locator::Header { .. } | Locator::Query(_) => {}
            Locator::Json(pointer) => signed.pointers.push(pointer.to_string()),
            Locator::Form(field) => signed.fields.push(field.clone()),
            other => panic!("no signature is in {other:?}"),
        }
    }
    for piece in &policy.signed_payload {
        match piece {
            Component::Body | Component::BodyHash(_) => signed.body = true,
            Component::FormSorted => signed.form = true,
            Component::Url | Component::UrlDecoded => signed.url = true,
            Component::Path => signed.path = true,
            Component::QuerySorted | Component::QueryPairs => signed.url = false,
            Component::Method => signed.method = true,
            Component::Located(Locator::Header { name, .. }, _) => signed.headers.push(name.clone()),
            Component::Located(Locator::Json(pointer), _) => signed.pointers.push(pointer.to_string()),
            Component::JsonLines(lines) => signed.pointers.extend(lines.names().map(|name| format!("/{name}"))),
            Component::Located(Locator::Form(field), _) => signed.fields.push(field.clone()),
            Component::Located(Locator::Query(_), _) | Component::QueryLower(_) => {}
            Component::ListedBy(list, names) => signed.headers.extend(std::iter::once(list).chain(names).cloned()),
            Component::Located(other, _) => panic!("no component is in {other:?}"),
            Component::Text(_)
            | Component::BodyCrc32
            | Component::Part(_)
            | Component::ListedHeaders(_)
            | Component::Secret => {}
        }
    }
}

/// A good request, of which parts are changed.
struct Changed<'a> {
    id: &'a str,
    config: &'a Config,
    head: Parts,
    body: Vec<u8>,
    now: u64,
}

impl Changed<'_> {
    /// With several signatures in one value, one may be broken, so the unnecessary ones are removed first.
    fn leave_one_signature(&mut self, policy: &Policy) {
        let Policy::Signature(policy) = policy else { return };
        let separator = match &policy.parse {
            Parse::Pairs { separator, .. } | Parse::List { separator, .. } => separator,
            Parse::Split { list: Some(list), .. } => list,
            Parse::Rest { separator, .. } => separator,
            Parse::Raw | Parse::Prefix(_) | Parse::Split { list: None, .. } => return,
        };
        let [Locator::Header { name, .. }] = policy.places.as_slice() else { return };
        let value = self.head.headers[name].to_str().unwrap().to_owned();
        let mut items: Vec<&str> = value.split(separator.as_str()).collect();
        for at in (0..items.len()).rev() {
            let mut fewer = items.clone();
            fewer.remove(at);
            let mut head = self.head.clone();
            head.headers.insert(name, fewer.join(separator).parse().unwrap());
            if decide(self.config, &head, &self.body, self.now) == Verdict::Granted {
                (self.head, items) = (head, fewer);
            }
        }
    }

    fn all(&self, signed: &Signed) -> usize {
        let headers = signed.headers.iter().map(|name| self.header(name, 0)).sum::<usize>();
        let tokens = signed.tokens.iter().map(|name| {
            let value = self.head.headers.get(name).map_or("", |value| value.to_str().unwrap());
            self.header(name, value.rfind(' ').map_or(0, |space| space + 1))
        });
        let mut count = headers + tokens.sum::<usize>();
        if signed.body || signed.form {
            count += flips(&self.body).map(|body| self.rejected_body(&body, signed)).filter(|tried| *tried).count();
        }
        count += signed.pointers.iter().map(|pointer| self.json(pointer)).sum::<usize>();
        count += signed.fields.iter().map(|field| self.field(field)).sum::<usize>();
        if signed.url || signed.path {
            count += self.target(signed.url);
        }
        if signed.method {
            let mut head = self.head.clone();
            head.method = if head.method == "PUT" { http::Method::POST } else { http::Method::PUT };
            self.rejected(&head, &self.body, "method");
            count += 1;
        }
        count
    }

    fn header(&self, name: &HeaderName, from: usize) -> usize {
        let Some(value) = self.head.headers.get(name) else { return 0 };
        let values = flips(&value.as_bytes()[from..]).filter_map(|changed| {
            let whole = [&value.as_bytes()[..from], &changed].concat();
            // Whitespace around a header's value is not part of it (RFC 9110 §5.5).
            (whole.trim_ascii() == whole).then(|| http::HeaderValue::from_bytes(&whole).ok())?
        });
        values
            .map(|value| {
                let mut head = self.head.clone();
                head.headers.insert(name, value);
                self.rejected(&head, &self.body, name.as_str());
            })
            .count()
    }

    /// A changed form with the same fields is not a change.
    fn rejected_body(&self, body: &[u8], signed: &Signed) -> bool {
        let read = |body: &[u8]| {
            let pairs = url::form_urlencoded::parse(body).into_owned();
            pairs.collect::<BTreeSet<(String, String)>>()
        };
        if signed.form && !signed.body && read(body) == read(&self.body) {
            return false;
        }
        self.rejected(&self.head, body, "body");
        true
    }

    fn json(&self, pointer: &str) -> usize {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let Some(text) = body.pointer(pointer).and_then(Value::as_str) else {
            // A static token in a list, or a number: replaced by another text.
            let changed = String::from_utf8_lossy(&self.body).replace("fake", "fale");
            return usize::from(
                pointer == "*" && {
                    self.rejected(&self.head, changed.as_bytes(), "json");
                    true
                },
            );
        };
        let texts = flips(text.as_bytes()).filter_map(|text| String::from_utf8(text).ok());
        texts
            .map(|text| {
                let mut body = body.clone();
                *body.pointer_mut(pointer).unwrap() = text.into();
                self.rejected(&self.head, body.to_string().as_bytes(), pointer);
            })
            .count()
    }

    fn field(&self, field: &str) -> usize {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(&self.body).into_owned().collect();
        let Some(at) = pairs.iter().position(|(name, _)| name == field) else { return 0 };
        let texts = flips(pairs[at].1.as_bytes()).filter_map(|text| String::from_utf8(text).ok());
        texts
            .map(|text| {
                let mut pairs = pairs.clone();
                pairs[at].1 = text;
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                self.rejected(&self.head, body.as_bytes(), field);
            })
            .count()
    }

    /// Changes the path, and the query if it is signed too; targets that are no valid URI are skipped.
    fn target(&self, query: bool) -> usize {
        let whole = self.head.uri.path_and_query().unwrap().as_str();
        let end = if query { whole.len() } else { self.head.uri.path().len() };
        let targets = flips(&whole.as_bytes()[1..end]).filter_map(|changed| {
            let target = [b"/", changed.as_slice(), &whole.as_bytes()[end..]].concat();
            let uri: http::Uri = String::from_utf8(target.clone()).ok()?.parse().ok()?;
            let other = escapes_in_upper_case(uri.path_and_query()?.as_str()) != escapes_in_upper_case(whole);
            (other && uri.path_and_query()?.as_str().as_bytes() == target).then_some(uri)
        });
        targets
            .map(|uri| {
                let mut head = self.head.clone();
                head.uri = uri;
                self.rejected(&head, &self.body, "target");
            })
            .count()
    }

    fn rejected(&self, head: &Parts, body: &[u8], what: &str) {
        if self.config.snapshot.routes.find("any", head.uri.path(), &head.method).is_ok() {
            let verdict = decide(self.config, head, body, self.now);
            let rejected = matches!(verdict, Verdict::Rejected(_));
            assert!(rejected, "{}: a changed {what} passes: {head:?} {:?}", self.id, String::from_utf8_lossy(body));
        }
    }
}

/// `%2f` and `%2F` are equivalent (RFC 3986 §2.1): HubSpot signs the decoded URL.
fn escapes_in_upper_case(target: &str) -> String {
    let mut parts = target.split('%');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let (escape, rest) = part.split_at(part.len().min(2));
        format!("{text}%{}{rest}", escape.to_ascii_uppercase())
    })
}

/// Envoy CVE-2023-35941: the same text, split at another place, would be another request under the same signature.
#[test]
fn no_byte_moves_from_a_signed_header_to_the_body_or_back() {
    let (mut presets, mut tried) = (BTreeSet::new(), 0_usize);
    for (id, case, _) in cases("signatures.json").into_iter().filter(|(_, _, valid)| *valid) {
        let config = case.compile().unwrap();
        let Policy::Signature(policy) = policy(&config, &case) else { continue };
        let Some(at) = policy.signed_payload.iter().position(|piece| *piece == Component::Body) else { continue };
        let before = at.checked_sub(1).and_then(|before| policy.signed_payload.get(before));
        let Some(Component::Located(Locator::Header { name, .. }, _)) = before.or(policy.signed_payload.get(at + 1))
        else {
            continue;
        };
        let header = case.head().headers[name].as_bytes().to_vec();
        let whole = match before {
            Some(_) => [&header, policy.join.as_bytes(), &case.body()].concat(),
            None => [&case.body(), policy.join.as_bytes(), &header].concat(),
        };
        for (first, second) in splits(&whole, policy.join.as_bytes()) {
            let (header_now, body) = if before.is_some() { (first, second) } else { (second, first) };
            let Ok(value) = http::HeaderValue::from_bytes(header_now) else { continue };
            if header_now == header {
                continue;
            }
            let mut head = case.head();
            head.headers.insert(name, value);
            let verdict = decide(&config, &head, body, case.now);
            assert!(matches!(verdict, Verdict::Rejected(_)), "{id}: {:?}", String::from_utf8_lossy(header_now));
            tried += 1;
        }
        presets.insert(case.auth["preset"].as_str().unwrap().to_owned());
    }
    println!("{tried} other splits of {} presets rejected", presets.len());
    assert!(presets.len() >= 18 && tried >= 400, "{tried} {presets:?}");
}

/// Each split of a text at a separator, or at every byte if the separator is empty.
fn splits<'a>(whole: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let ends = (0..=whole.len()).filter(move |at| whole[*at..].starts_with(separator));
    ends.map(move |at| (&whole[..at], &whole[at + separator.len()..]))
}

/// Each text that differs in one bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}
