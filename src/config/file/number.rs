//! Whole numbers and booleans, each with its range and its default, and statuses of the upstream.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::config::reader::Field;
use crate::route::duplicates::Statuses;

/// The default of a number that has none.
pub(super) const NO_DEFAULT: u64 = u64::MAX;

/// A whole number with its range and its default.
#[derive(Clone, Copy, Debug)]
pub struct Number<const MIN: u64, const MAX: u64, const DEFAULT: u64 = NO_DEFAULT>(u64);

/// A whole number with a default.
pub type Count<const DEFAULT: u64, const MIN: u64 = 1, const MAX: u64 = { u64::MAX }> =
    Field<Number<MIN, MAX, DEFAULT>>;

impl<const MIN: u64, const MAX: u64, const DEFAULT: u64> Field<Number<MIN, MAX, DEFAULT>> {
    /// The number; `None` if it is absent, invalid or larger than `N`.
    pub fn number<N: TryFrom<u64>>(&self) -> Option<N> {
        self.value().and_then(|number| N::try_from(number.0).ok())
    }

    /// The number; the default if it is absent, invalid or larger than `N`.
    pub fn get<N: TryFrom<u64> + Default>(&self) -> N {
        self.number().unwrap_or_else(|| N::try_from(DEFAULT).unwrap_or_default())
    }
}

struct NumberVisitor<const MIN: u64, const MAX: u64, const DEFAULT: u64>;

impl<const MIN: u64, const MAX: u64, const DEFAULT: u64> Visitor<'_> for NumberVisitor<MIN, MAX, DEFAULT> {
    type Value = Number<MIN, MAX, DEFAULT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if MAX >= u32::MAX.into() {
            write!(f, "a whole number of at least {MIN}")
        } else {
            write!(f, "a whole number from {MIN} to {MAX}")
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let out_of_range = || E::custom(format!("expected {}, got {number}", &self as &dyn de::Expected));
        if (MIN..=MAX).contains(&number) { Ok(Number(number)) } else { Err(out_of_range()) }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Err(E::custom(format!("expected {}, got {number}", &self as &dyn de::Expected)))
    }
}

impl<'de, const MIN: u64, const MAX: u64, const DEFAULT: u64> Deserialize<'de> for Number<MIN, MAX, DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(NumberVisitor)
    }
}

/// `true` or `false`, with a default.
#[derive(Clone, Copy, Debug)]
pub struct BoolOr<const DEFAULT: bool>(bool);

/// `true` or `false`, with a default.
pub type Switch<const DEFAULT: bool> = Field<BoolOr<DEFAULT>>;

impl<const DEFAULT: bool> Switch<DEFAULT> {
    /// The value; the default if it is absent or invalid.
    pub fn get(&self) -> bool {
        self.value().map_or(DEFAULT, |value| value.0)
    }
}

impl<'de, const DEFAULT: bool> Deserialize<'de> for BoolOr<DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(Self)
    }
}

struct StatusesVisitor;

impl Visitor<'_> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a class such as 2xx, or a status such as 202")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Statuses, E> {
        let status = u16::try_from(number).ok().filter(|status| (200..600).contains(status));
        status.map(Statuses::One).ok_or_else(|| E::custom(STATUSES))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
        let class = ["2xx", "3xx", "4xx", "5xx"].iter().zip(2..).find(|(class, _)| **class == text);
        class.map(|(_, digit)| Statuses::Class(digit)).ok_or_else(|| E::custom(STATUSES))
    }
}

const STATUSES: &str = "expected 2xx, 3xx, 4xx or 5xx, or a status such as 202";

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

/// Schemas that stand in the place of their use.
macro_rules! inline_schemas {
    ($([$($generics:tt)*] $type:ty: $schema:expr;)*) => {
        $(impl<$($generics)*> JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })*
    };
}

inline_schemas! {
    [const MIN: u64, const MAX: u64, const DEFAULT: u64] Number<MIN, MAX, DEFAULT>: {
        let mut schema = json_schema!({ "type": "integer", "minimum": MIN });
        let limits = [("maximum", MAX, MAX < u64::MAX), ("default", DEFAULT, DEFAULT != NO_DEFAULT)];
        for (name, limit, _) in limits.into_iter().filter(|(.., is_set)| *is_set) {
            schema.insert(name.to_owned(), limit.into());
        }
        schema
    };
    [const DEFAULT: bool] BoolOr<DEFAULT>: json_schema!({ "type": "boolean", "default": DEFAULT });
    [] Statuses: json_schema!({
        "title": "a class such as 2xx, or a status such as 202",
        "anyOf": [{ "type": "integer", "minimum": 200, "maximum": 599 }, { "enum": ["2xx", "3xx", "4xx", "5xx"] }],
    });
}
