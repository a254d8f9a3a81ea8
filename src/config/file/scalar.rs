//! Scalars and lists of them that several parts of the file have.

use schemars::JsonSchema;
use serde::Deserialize;

/// A duration such as 500ms, 30s, 5m or 24h.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = "a duration such as 500ms, 30s, 5m or 24h")]
pub struct DurationText(pub String);

/// A size such as 512B, 64KiB or 1MiB.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = "a size such as 64KiB or 1MiB")]
pub struct SizeText(pub String);

/// A rate such as 100/s, 30/m or 5/h.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = "a rate such as 100/s, 30/m or 5/h")]
pub struct RateText(pub String);

/// One string or a list of strings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One string.
    One(String),
    /// A list of strings.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The strings as a list.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }
}

/// The unit or format of a time
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnitFile {
    /// Unix time in seconds.
    #[default]
    S,
    /// Unix time in milliseconds.
    Ms,
    /// Unix time in microseconds.
    Us,
    /// RFC 3339.
    Rfc3339,
}
