//! Is this signature good? The value is found and taken apart, the time is judged, the signed text is put together
//! piece by piece as the sender did it, and compared with each secret.
//!
//! Everything here is data that a preset or `auth.signature` describes; no provider has code of its own.
//! Called by [`super::verify`].

mod key;
mod parse;
mod piece;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use zeroize::Zeroizing;

use super::claims::{ClaimRule, Pointer};
use super::notes::Notes;
use super::once::{Once, OnceRule, hash_of};
use super::request::{RequestView, UrlVariant, target_spellings};
use super::time::{TimestampUnit, within};
use super::{Refusal, Stop};
use crate::clock::UnixTime;
pub use key::{Hash, KeyError, Secret, SecretKey, SignatureAlgorithm};
pub use parse::{Encoding, Parse, Value};
pub use piece::{Digest, Piece, Presence};

/// `auth.signature` of a route, or a preset's.
#[derive(Clone, Debug)]
pub struct SignaturePolicy {
    /// The preset's name, or `signature`: field of the log.
    pub name: Arc<str>,
    /// Where signatures may stand; each that is there is tried.
    pub places: Vec<Place>,
    /// How a signature stands in its value.
    pub parse: Parse,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// How it is made.
    pub algorithm: SignatureAlgorithm,
    /// What is signed.
    pub signed: Vec<Piece>,
    /// What stands between the pieces.
    pub join: String,
    /// In what senders differ from what arrives.
    pub url_variants: Vec<UrlVariant>,
    /// The signed time.
    pub time: Option<SignedTime>,
    /// The piece that names the secret.
    pub key_id: Option<Piece>,
    /// Headers that must have these values.
    pub required_headers: Vec<(HeaderName, String)>,
    /// Parts of the signature's value that must be these.
    pub required_parts: Vec<(String, String)>,
    /// What the body, a JSON object then, must say.
    pub required_json: Option<Vec<ClaimRule>>,
    /// A signed query parameter that may stand for the body: its SHA-256 in hex.
    pub body_hash: Option<String>,
    /// The piece that names the event once and for all.
    pub id: Option<Piece>,
    /// Any of these may have signed.
    pub secrets: Vec<Secret>,
    /// What makes one request another than the next, if the route asks for it.
    pub once: Option<OnceRule>,
}

/// Where a signature stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a header field.
    Header(HeaderName),
    /// In a query parameter.
    Query(String),
    /// In a JSON body.
    Json(Pointer),
    /// In a form body.
    Form(String),
}

/// `timestamp` of a signature.
#[derive(Clone, Debug)]
pub struct SignedTime {
    /// Where it stands.
    pub source: Piece,
    /// How it is written.
    pub unit: TimestampUnit,
    /// How old it may be; exactly so old passes.
    pub max_age: Duration,
    /// How far ahead it may be; exactly so far passes.
    pub max_future: Duration,
}

/// A good signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Which of the route's secrets made it.
    pub secret: usize,
    /// By which the request is known, if the route asks for it.
    pub once: Option<Once>,
}

impl SignaturePolicy {
    /// The whole judgement of one request.
    ///
    /// # Errors
    /// `MissingCredential` only where no signature is there at all; `RequirementNotMet` where a `require` does not hold;
    /// `MissingTimestamp`, `MalformedTimestamp`, `TimestampTooOld`, `TimestampInFuture`; `MissingSignedComponent` where a
    /// component that must be signed is absent; `MalformedBody` where the body must be read and cannot; else
    /// `InvalidSignature`.
    pub fn verify(&self, request: &RequestView<'_>, now: UnixTime, notes: &mut Notes) -> Result<Signed, Stop> {
        let values = self.values(request)?;
        if values.is_empty() {
            return Err(Refusal::MissingCredential.into());
        }
        self.judge_headers(request, notes)?;
        let mut values: Vec<Value<'_>> = values.iter().flat_map(|value| self.parse.read(value)).collect();
        if values.is_empty() {
            notes.add("signature", || "the value has not the form that `parse` describes".into());
            return Err(Refusal::InvalidSignature.into());
        }
        values.retain(|value| self.has_its_parts(value));
        if values.is_empty() {
            notes.add("required part", || "a part of the value is absent or has another value".into());
            return Err(Refusal::RequirementNotMet.into());
        }
        // What needs no body is judged first: a stale request is not worth reading.
        let mut at = None;
        if let Some(time) = self.time.as_ref().filter(|time| !time.source.needs_body()) {
            at = judge_time(time, request, &values, now, notes)?;
        }
        self.judge_json(request, notes)?;
        let mut signed = self.signed_by(request, &values, notes)?;
        if let Some(time) = self.time.as_ref().filter(|time| time.source.needs_body()) {
            at = judge_time(time, request, &values, now, notes).map_err(|stop| stop.proven(&self.name))?;
        }
        if let Some(once) = &mut signed.once {
            let last = at.zip(self.time.as_ref()).map(|((_, last), time)| last.plus(time.max_age));
            once.issued = at.zip(self.time.as_ref()).map(|((first, _), time)| first.minus(time.max_future));
            once.until = last.map(|last| last.plus(Duration::from_secs(1)));
        }
        Ok(signed)
    }

    /// The text of each value that carries signatures.
    fn values<'a>(&self, request: &RequestView<'a>) -> Result<Vec<Cow<'a, str>>, Stop> {
        let mut found = Vec::new();
        for place in &self.places {
            found.extend(place.find(request)?);
        }
        Ok(found)
    }

    fn has_its_parts(&self, value: &Value<'_>) -> bool {
        self.required_parts.iter().all(|(key, wanted)| value.part(key) == Some(wanted.as_str()))
    }

    fn judge_headers(&self, request: &RequestView<'_>, notes: &mut Notes) -> Result<(), Stop> {
        for (name, wanted) in &self.required_headers {
            if request.header(name)? != Some(wanted.as_str()) {
                notes.add("required header", || format!("{name} is not {wanted:?}"));
                return Err(Refusal::RequirementNotMet.into());
            }
        }
        Ok(())
    }

    fn judge_json(&self, request: &RequestView<'_>, notes: &mut Notes) -> Result<(), Stop> {
        let Some(rules) = &self.required_json else { return Ok(()) };
        let holds = request.json()?.map(|body| rules.iter().all(|rule| rule.holds(body)));
        notes.add("required body", || match holds {
            Some(true) => "as it must be".into(),
            Some(false) => "not the JSON that it must be".into(),
            None => "is no JSON object".into(),
        });
        match holds {
            Some(true) => Ok(()),
            Some(false) => Err(Refusal::RequirementNotMet.into()),
            None => Err(Refusal::MalformedBody.into()),
        }
    }

    /// Tries every spelling of the URL with every secret; which of them fits is no secret.
    fn signed_by(&self, request: &RequestView<'_>, values: &[Value<'_>], notes: &mut Notes) -> Result<Signed, Stop> {
        let body = self.judge_body_hash(request, notes)?;
        for value in values {
            let signatures = value.decoded(self.encoding);
            let key_id = match &self.key_id {
                Some(piece) => Some(piece.text(request, value).map_err(without_key_id)?),
                None => None,
            };
            for url in self.urls(request) {
                for secret in self.secrets.iter().filter(|secret| secret.answers_to(key_id.as_deref())) {
                    let text = self.text(request, value, &Ways { url: &url, body, secret })?;
                    notes.add("signed text", || shown(&text, secret));
                    if signatures.iter().any(|signature| secret.key.verifies(self.algorithm, &text, signature)) {
                        notes.add("signature", || format!("made with secret {}", secret.index));
                        let once = self.once_of(request, value, &text)?;
                        return Ok(Signed { secret: secret.index, once });
                    }
                }
            }
        }
        notes.add("signature", || "is none that these secrets make over this text".into());
        Err(Refusal::InvalidSignature.into())
    }

    /// The id of a request with a good signature over `text`; its times are set by the caller.
    fn once_of(
        &self,
        request: &RequestView<'_>,
        value: &Value<'_>,
        text: &[Cow<'_, [u8]>],
    ) -> Result<Option<Once>, Stop> {
        let (kind, id) = match &self.once {
            None | Some(OnceRule::Claim(_)) => return Ok(None),
            // Some senders put the secret into it.
            Some(OnceRule::Hash) => ("hash", hash_of(&Zeroizing::new(text.concat()))),
            Some(OnceRule::Piece(piece)) => ("piece", piece.text(request, value)?.into_owned().into_bytes()),
        };
        Ok(Some(Once { issuer: Arc::clone(&self.name), kind, id, until: None, issued: None }))
    }

    /// The URL in its spellings, if it is signed.
    fn urls(&self, request: &RequestView<'_>) -> Vec<Urls> {
        let variants = &self.url_variants;
        let signs = |wanted: fn(&Piece) -> bool| self.signed.iter().any(wanted);
        let (url, path) = (signs(Piece::is_url), signs(|piece| *piece == Piece::Path));
        let target = request.path_and_query();
        match (url, path) {
            (true, _) => request.url.spellings(target, variants).into_iter().map(Urls::of_url).collect(),
            (false, true) => target_spellings(target, variants).into_iter().map(Urls::of_path).collect(),
            (false, false) => vec![Urls::default()],
        }
    }

    /// What the sender signed, piece by piece.
    ///
    /// # Errors
    /// `MissingSignedComponent` where a piece is not there; `MalformedBody`.
    pub fn text<'a>(
        &'a self,
        request: &RequestView<'a>,
        value: &Value<'a>,
        ways: &Ways<'a>,
    ) -> Result<Vec<Cow<'a, [u8]>>, Stop> {
        let mut text = Vec::with_capacity(2 * self.signed.len());
        for piece in &self.signed {
            if !text.is_empty() && !self.join.is_empty() {
                text.push(Cow::Borrowed(self.join.as_bytes()));
            }
            text.push(piece.bytes(request, value, ways)?);
        }
        Ok(text)
    }

    /// What a sender with this secret signs, given the parts of the signature's own value.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn text_to_sign(
        &self,
        request: &RequestView<'_>,
        parts: &[(String, String)],
        secret: &Secret,
    ) -> Result<Vec<u8>, Stop> {
        let body = self.judge_body_hash(request, &mut Notes::off())?;
        let urls = self.urls(request);
        let url = urls.first().ok_or(Refusal::InvalidSignature)?;
        Ok(self.text(request, &Value::of_parts(parts), &Ways { url, body, secret })?.concat())
    }

    /// Where a signed query parameter holds the body's hash, the body counts by it, and no form is read.
    fn judge_body_hash(&self, request: &RequestView<'_>, notes: &mut Notes) -> Result<BodyCounts, Stop> {
        let Some(name) = &self.body_hash else { return Ok(BodyCounts::AsItIs) };
        let Some(wanted) = request.query(name)? else { return Ok(BodyCounts::AsItIs) };
        let fits = Digest::hex_sha256(request.body()?).eq_ignore_ascii_case(&wanted);
        notes.add("body hash", || format!("{name} {} the body", if fits { "fits" } else { "does not fit" }));
        if fits { Ok(BodyCounts::ByItsHash) } else { Err(Refusal::BodyMismatch.into()) }
    }

    /// Whether the body is signed, or a hash of it.
    pub fn binds_body(&self) -> bool {
        self.signed.iter().any(Piece::is_whole_body)
    }

    /// Whether the URL is, with its host.
    pub fn signs_url(&self) -> bool {
        self.signed.iter().any(Piece::is_url)
    }

    /// Whether this header is part of what is signed.
    pub fn signs_header(&self, name: &HeaderName) -> bool {
        self.signed.iter().any(|piece| piece.header() == Some(name))
    }

    /// Header fields that this looks at.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let places = self.places.iter().filter_map(Place::header);
        let time = self.time.iter().map(|time| &time.source);
        let pieces = self.signed.iter().chain(time).chain(&self.key_id).filter_map(Piece::header);
        places.chain(pieces).chain(self.required_headers.iter().map(|(name, _)| name))
    }
}

/// The text for `explain`, without the secret that some senders put into it.
fn shown(text: &[Cow<'_, [u8]>], secret: &Secret) -> String {
    let text = Zeroizing::new(text.concat());
    let whole = String::from_utf8_lossy(&text);
    match secret.key.shared().map(String::from_utf8_lossy).filter(|secret| !secret.is_empty()) {
        Some(secret) => whole.replace(&*secret, "<secret>"),
        None => whole.into_owned(),
    }
}

/// What may differ from try to try.
#[derive(Clone, Copy, Debug)]
pub struct Ways<'a> {
    /// The spelling of the URL.
    pub url: &'a Urls,
    /// How the body counts.
    pub body: BodyCounts,
    /// The secret, for senders that put it into the text.
    pub secret: &'a Secret,
}

/// One spelling of the URL; empty where none is signed.
#[derive(Clone, Debug, Default)]
pub struct Urls {
    url: String,
    path: String,
}

impl Urls {
    fn of_url(url: String) -> Self {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned();
        Self { url, path }
    }

    fn of_path(path: String) -> Self {
        Self { url: String::new(), path }
    }
}

/// How the body counts in the signed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCounts {
    /// Its bytes, or its form fields.
    AsItIs,
    /// It has been compared with a hash in the URL.
    ByItsHash,
}

/// The first and the last of the times, each of which must be good.
fn judge_time(
    time: &SignedTime,
    request: &RequestView<'_>,
    values: &[Value<'_>],
    now: UnixTime,
    notes: &mut Notes,
) -> Result<Option<(UnixTime, UnixTime)>, Stop> {
    let mut found: Option<(UnixTime, UnixTime)> = None;
    for value in values {
        let text = match time.source.text(request, value) {
            Ok(text) => text,
            Err(stop) => return Err(without_time(stop)),
        };
        let at = time.unit.read(&text).ok_or(Refusal::MalformedTimestamp)?;
        notes.add("timestamp", || super::time::told(at, now));
        within(at, now, time.max_age, time.max_future)?;
        found = Some(found.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }
    Ok(found)
}

/// Why there is no time where `stop` is why there is no text.
fn without_time(stop: Stop) -> Stop {
    match stop.refusal() {
        None | Some(Refusal::MalformedBody) => stop,
        Some(Refusal::MissingSignedComponent) => Refusal::MissingTimestamp.into(),
        Some(_twice_or_unreadable) => Refusal::MalformedTimestamp.into(),
    }
}

/// A key id need not be signed: its absence makes the signature invalid.
fn without_key_id(stop: Stop) -> Stop {
    let absent = stop.refusal() == Some(Refusal::MissingSignedComponent);
    if absent { Refusal::InvalidSignature.into() } else { stop }
}

impl Place {
    /// The header, if it stands in one.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Query(_) | Self::Json(_) | Self::Form(_) => None,
        }
    }

    fn find<'a>(&self, request: &RequestView<'a>) -> Result<Option<Cow<'a, str>>, Stop> {
        Ok(match self {
            Self::Header(name) => request.header(name)?.map(Cow::Borrowed),
            Self::Query(name) => request.query(name)?,
            Self::Json(pointer) => {
                request.json_value(pointer)?.and_then(|value| value.as_str()).map(|text| Cow::Owned(text.to_owned()))
            }
            Self::Form(name) => request.form_field(name)?,
        })
    }
}

#[cfg(test)]
mod tests;
