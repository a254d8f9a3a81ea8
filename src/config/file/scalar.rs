//! The scalars of gateway.yaml. Each type has its form, range and default, for the reader and for the schema.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::number::NO_DEFAULT;
use crate::auth::certificate_rule::parse_fingerprint;
use crate::auth::claims::Pointer;
use crate::auth::client_certificate::San;
use crate::auth::keys::Algorithm;
use crate::auth::message_signature::ComponentIdentifier;
use crate::auth::request::PublicUrl;
use crate::auth::signature::Component;
use crate::clock::UnixTime;
use crate::config::hints;
use crate::config::reader::{FILE, Field, List, Location, REVOCATIONS, VARIABLE};
use crate::config::values::{self, parse_duration, parse_net, parse_pin, parse_rate, parse_size};
use crate::route::{HeaderPattern, WebOrigin};

/// A scalar that is written as text.
pub trait Text: Sized {
    /// The form of the text, which completes "expected …"; or the serde name of a text that names a file.
    const FORM: &'static str;
    /// An example.
    const EXAMPLE: &'static str;
    /// A regular expression that every such text matches (ECMA-262).
    const PATTERN: Option<&'static str> = None;

    /// The default, as it is written.
    fn default_text() -> Option<String> {
        None
    }

    /// Parses the text.
    ///
    /// # Errors
    /// The problem, and what to write instead.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A text, and the value that was parsed from it.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    /// The text as it is written.
    pub text: String,
    value: T,
}

impl<T> Deref for Parsed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<'de, T: Text> Visitor<'de> for TextVisitor<T> {
    type Value = Parsed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        match T::parse(&text) {
            Ok(value) => Ok(Parsed { text, value }),
            Err(problem) => Err(de::Error::custom(problem)),
        }
    }
}

impl<'de, T: Text> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(T::FORM, TextVisitor(PhantomData))
    }
}

impl<T: Text> JsonSchema for Parsed<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::FORM.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "type": "string", "examples": [T::EXAMPLE] });
        if T::FORM.contains(' ') {
            schema.insert("title".to_owned(), T::FORM.into());
        }
        if let Some(pattern) = T::PATTERN {
            schema.insert("pattern".to_owned(), pattern.into());
        }
        if let Some(default) = T::default_text() {
            schema.insert("default".to_owned(), default.into());
        }
        schema
    }
}

/// A type of texts: its form, an example, a pattern, and the parser.
macro_rules! texts {
    ($($type:ty: $form:expr, $example:expr, $pattern:expr, $parse:expr;)*) => {
        $(impl Text for $type {
            const FORM: &'static str = $form;
            const EXAMPLE: &'static str = $example;
            const PATTERN: Option<&'static str> = $pattern;

            fn parse(text: &str) -> Result<Self, String> {
                ($parse)(text)
            }
        })*
    };
}

fn or<T>(value: Option<T>, problem: &str) -> Result<T, String> {
    value.ok_or_else(|| problem.to_owned())
}

/// Name of a file that is read with the configuration.
#[derive(Clone, Debug)]
pub struct FileName;

/// Name of an environment variable.
#[derive(Clone, Debug)]
pub struct VariableName;

/// Name of a revocation list.
#[derive(Clone, Debug)]
pub struct RevocationListName;

/// Requests and the seconds to which their number applies.
#[derive(Clone, Copy, Debug)]
pub struct RatePerSeconds(pub u32, pub u32);

/// The SHA-256 fingerprint of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFingerprint(pub [u8; 32]);

/// The pin of a public key.
#[derive(Clone, Copy, Debug)]
pub struct Pin(pub [u8; 32]);

/// A day, as the time at which it ends.
#[derive(Clone, Copy, Debug)]
pub struct Day(pub UnixTime);

/// A host name in lower case, without port and wildcard.
#[derive(Clone, Debug)]
pub struct HostName(pub String);

/// The problem of a text that is no host name.
const HOST_NAME: &str = "expected a host name without port, such as hookgate.internal";

/// The problem of a text that is no header name.
pub(in crate::config) const HEADER_NAME: &str = "expected a header name";

const HEADER_PATTERN: &str = "expected a header name of letters, digits and `-`, or a prefix such as X-Internal-*";

/// The problem of a text that is neither a name nor a JSON pointer.
pub(in crate::config) const POINTER: &str = "expected a name, or a JSON pointer such as /a/b (RFC 6901)";

const COMPONENTS: &str = "expected a component: literal:…, body, body.sha256.hex, method, url, url.decoded, path, \
                          query.sorted, query.pairs, form.sorted, header:NAME, header?:NAME, part:KEY, headers:KEY, \
                          json:/POINTER, json?:/POINTER, form:FIELD or secret";

const ALGORITHMS: &str = "unknown algorithm; expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, \
                          EdDSA (Ed25519), HS256, HS384 or HS512";

const ADDRESS: &str = "expected an IP address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"";

const URL: &str =
    "expected https://host, with a port if senders write one, and a path only where another proxy removes it";

const ORIGIN: &str =
    "expected an origin as browsers send it: https://host in lower case, with a port unless it is the default";

const METHOD: &str = "expected a method in capitals, such as POST (not CONNECT or TRACE)";

const PIN: &str = "expected `sha256/` and the base64 of 32 bytes: the hash of a SubjectPublicKeyInfo";

texts! {
    FileName: FILE, "hookgate.pem", None, |_: &str| Ok(Self);
    VariableName: VARIABLE, "WEBHOOK_SECRET", None, |_: &str| Ok(Self);
    RevocationListName: REVOCATIONS, "revoked.yaml", None, |_: &str| Ok(Self);
    RatePerSeconds: "a rate such as 100/s, 30/m or 5/h", "100/s", Some("^[0-9]+/[smh]$"), |text: &str| {
        let problem = "expected a rate: a whole number from 1 to 1000000 and /s, /m or /h, such as 100/s";
        hints::or(parse_rate(text).map(|(count, seconds)| Self(count, seconds)), problem, hints::rate(text))
    };
    SocketAddr: "an IP address and a port, such as \"0.0.0.0:8443\"", "0.0.0.0:8443",
        Some(r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+$"),
        |text: &str| text.parse().map_err(|_| format!("{ADDRESS}{}", hints::address(text)));
    IpNet: "an IP address or a CIDR range", "203.0.113.0/24", Some("^[0-9A-Fa-f:.]+(/[0-9]+)?$"),
        |text: &str| parse_net(text).map_err(|problem| problem.to_string());
    HeaderName: "a header name", "X-Signature", None, |text: &str| or(text.parse().ok(), HEADER_NAME);
    HeaderPattern: "a header name, or a prefix such as X-Internal-*", "X-Internal-*", Some(r"^[A-Za-z0-9-]+\*?$"),
        |text: &str| or(Self::parse(text), HEADER_PATTERN);
    Method: "a method such as POST", "POST", Some("^[^a-z]+$"),
        |text: &str| hints::or(values::parse_method(text), METHOD, hints::method(text));
    PublicUrl: "a URL such as https://hooks.example.com", "https://hooks.example.com", None,
        |text: &str| or(values::parse_public_url(text), URL);
    WebOrigin: "an origin such as https://app.example.com", "https://app.example.com", Some("^https?://[^/?#@]+$"),
        |text: &str| or(values::parse_origin(text), ORIGIN);
    Pointer: "a name, or a JSON pointer such as /a/b", "jti", None, |text: &str| or(Self::parse(text), POINTER);
    Component: "a component such as body", "body", None, |text: &str| or(Self::parse(text), COMPONENTS);
    ComponentIdentifier: "a component identifier such as @method or content-digest", "@method", None,
        |text: &str| Self::parse(text).map_err(|problem| problem.to_string());
    Algorithm: "a JWS algorithm such as RS256", "RS256", Some("^((RS|PS|ES|HS)(256|384|512)|EdDSA|Ed25519)$"),
        |text: &str| hints::or(Self::named(text), ALGORITHMS, hints::algorithm(text));
    San: "a subject alternative name such as dns:client.example.com", "dns:client.example.com", None,
        |text: &str| Self::parse(text).map_err(|problem| problem.to_string());
    CertificateFingerprint: "a SHA-256 fingerprint in hex", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        Some("^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"),
        |text: &str| parse_fingerprint(text).map(Self).map_err(|problem| problem.to_string());
    Pin: "a pin such as sha256/AAAA…", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        Some("^sha256/[A-Za-z0-9+/]{43}=$"),
        |text: &str| or(parse_pin(text).map(Self), PIN);
    HostName: "a host name", "hookgate.internal", Some(r"^[^:/?#@*\[\]]+$"),
        |text: &str| or(values::parse_host(text).filter(|host| !host.starts_with('[')).map(Self), HOST_NAME);
    Day: "a day such as 2026-12-31", "2026-12-31", Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        |text: &str| or(values::end_of_day(text).map(Self), "expected a day such as 2026-12-31");
}

const DURATION: &str = "a duration such as 500ms, 30s, 5m or 24h";
const DURATION_PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";
const WHOLE_DURATION: &str = "a duration such as 30s, 5m or 24h";
const WHOLE_DURATION_PATTERN: &str = "^[0-9]+(s|m|h|d)$";
const SIZE: &str = "a size such as 64KiB or 1MiB";
const SIZE_PATTERN: &str = "^[0-9]+(B|KiB|MiB|GiB)$";

/// A duration of at least `MIN` milliseconds, with a default in milliseconds or [`NO_DEFAULT`]; `WHOLE`: in whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct Millis<const DEFAULT: u64, const MIN: u64, const WHOLE: bool = false>(Duration);

impl<const DEFAULT: u64, const MIN: u64, const WHOLE: bool> Default for Millis<DEFAULT, MIN, WHOLE> {
    fn default() -> Self {
        const { assert!(DEFAULT != NO_DEFAULT, "this duration has no default") };
        Self(Duration::from_millis(DEFAULT))
    }
}

impl<const DEFAULT: u64, const MIN: u64, const WHOLE: bool> From<Millis<DEFAULT, MIN, WHOLE>> for Duration {
    fn from(duration: Millis<DEFAULT, MIN, WHOLE>) -> Self {
        duration.0
    }
}

impl<const DEFAULT: u64, const MIN: u64, const WHOLE: bool> Text for Millis<DEFAULT, MIN, WHOLE> {
    const FORM: &'static str = if WHOLE { WHOLE_DURATION } else { DURATION };
    const EXAMPLE: &'static str = if DEFAULT == NO_DEFAULT && MIN > 0 { "5m" } else { "30s" };
    const PATTERN: Option<&'static str> = Some(if WHOLE { WHOLE_DURATION_PATTERN } else { DURATION_PATTERN });

    fn parse(text: &str) -> Result<Self, String> {
        let unit = if WHOLE { "" } else { "ms, " };
        let read = |text: &str| parse_duration(text).filter(|_| !WHOLE || !text.ends_with("ms"));
        let is_short = |duration: &Duration| duration.as_millis() < MIN.into();
        let hint = || hints::duration(text, |hint| read(hint).is_some_and(|duration| !is_short(&duration)));
        let problem = || format!("expected a duration: a whole number and {unit}s, m, h or d, such as 30s{}", hint());
        let duration = read(text).ok_or_else(problem)?;
        if is_short(&duration) { Err("must be longer than zero".to_owned()) } else { Ok(Self(duration)) }
    }

    fn default_text() -> Option<String> {
        (DEFAULT != NO_DEFAULT).then(|| values::write_duration(Duration::from_millis(DEFAULT)))
    }
}

/// A size with its default and its range, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<const DEFAULT: u64, const MIN: u64, const MAX: u64>(u64);

impl<const DEFAULT: u64, const MIN: u64, const MAX: u64> Default for Bytes<DEFAULT, MIN, MAX> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u64, const MIN: u64, const MAX: u64> From<Bytes<DEFAULT, MIN, MAX>> for u64 {
    fn from(size: Bytes<DEFAULT, MIN, MAX>) -> Self {
        size.0
    }
}

impl<const DEFAULT: u64, const MIN: u64, const MAX: u64> Text for Bytes<DEFAULT, MIN, MAX> {
    const FORM: &'static str = SIZE;
    const EXAMPLE: &'static str = "1MiB";
    const PATTERN: Option<&'static str> = Some(SIZE_PATTERN);

    fn parse(text: &str) -> Result<Self, String> {
        let problem = "expected a size: a whole number and B, KiB, MiB or GiB, such as 1MiB";
        let size = hints::or(parse_size(text), problem, hints::size(text))?;
        let range = || format!("expected a size from {} to {}", values::write_size(MIN), values::write_size(MAX));
        if (MIN..=MAX).contains(&size) { Ok(Self(size)) } else { Err(range()) }
    }

    fn default_text() -> Option<String> {
        Some(values::write_size(DEFAULT))
    }
}

impl<T: Text + Default> Default for Parsed<T> {
    fn default() -> Self {
        Self { text: T::default_text().unwrap_or_default(), value: T::default() }
    }
}

impl<T: Text + Default + Copy> Field<Parsed<T>> {
    /// The value; the default if it is absent or invalid.
    pub fn get<V: From<T>>(&self) -> V {
        self.value().map_or_else(T::default, |parsed| parsed.value).into()
    }
}

impl<const DEFAULT: u64, const MIN: u64, const WHOLE: bool> Field<Parsed<Millis<DEFAULT, MIN, WHOLE>>> {
    /// The duration; `None` if it is absent or invalid.
    pub fn duration(&self) -> Option<Duration> {
        self.value().map(|parsed| parsed.value.0)
    }
}

/// A duration longer than zero with a default in milliseconds.
pub type Timeout<const DEFAULT: u64> = Field<Parsed<Millis<DEFAULT, 1>>>;

/// A duration that may be zero, with a default in milliseconds.
pub type Delay<const DEFAULT: u64> = Field<Parsed<Millis<DEFAULT, 0>>>;

/// A duration longer than zero without a default.
pub type OptionalDuration = Timeout<NO_DEFAULT>;

/// A duration in whole seconds, with a default in milliseconds: it is compared with times, which have no fraction.
pub type Seconds<const DEFAULT: u64, const MIN: u64 = 1> = Field<Parsed<Millis<DEFAULT, MIN, true>>>;

/// A duration in whole seconds without a default.
pub type OptionalSeconds<const MIN: u64 = 1> = Seconds<NO_DEFAULT, MIN>;

/// A size with a default in bytes.
pub type Size<const DEFAULT: u64, const MIN: u64 = 0, const MAX: u64 = { u64::MAX }> =
    Field<Parsed<Bytes<DEFAULT, MIN, MAX>>>;

/// A key that says where a value is, of several of which one is written.
#[derive(Clone, Copy, Debug)]
pub struct PlaceKey<'f> {
    /// The name of the key.
    pub key: &'static str,
    /// Its text, if it is written and valid.
    pub text: Option<&'f str>,
    /// Its place.
    pub at: Location,
}

impl<'f> PlaceKey<'f> {
    /// The key `key` with the text of its field.
    pub fn of(key: &'static str, field: &'f Field<String>) -> Self {
        Self { key, text: field.text(), at: field.at }
    }
}

/// One value or a list of them.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// A list.
    Many(List<T>),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(List::default())
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        List::deserialize(de::value::SeqAccessDeserializer::new(items)).map(OneOrMany::Many)
    }
}

impl<'de> Deserialize<'de> for OneOrMany<String> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}
