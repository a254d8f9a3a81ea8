//! `json.lines`: members of a JSON body, each by its name and its value, as Amazon SNS signs them.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::auth::locator::{LocatedValue, Locator};
use crate::auth::rejection::VerifyError;
use crate::auth::request::RequestView;
use crate::reason::Reason;

/// The members, in order. Name and value of each are followed by a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonLines(Vec<LineMember>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct LineMember {
    name: String,
    locator: Locator,
    is_optional: bool,
}

impl JsonLines {
    /// Parses names that are separated by commas. A member whose name is followed by `?` may be absent, and is then left
    /// out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split(',').map(LineMember::parse).collect::<Option<_>>().map(Self)
    }

    /// Only the first value may have several lines. Otherwise a publisher could write the lines of other members into a
    /// value, and a copy of the request could have them as members, such as another id.
    pub(super) fn text(&self, request: &RequestView<'_>) -> Result<String, VerifyError> {
        let mut text = String::new();
        for (index, LineMember { name, locator, is_optional }) in self.0.iter().enumerate() {
            let is_null = |value: &LocatedValue<'_>| matches!(value, LocatedValue::Json(json) if json.is_null());
            match locator.find(request)?.filter(|value| !(*is_optional && is_null(value))) {
                None if locator.is_unreadable(request)? => return Err(Reason::MalformedBody.into()),
                None if *is_optional => {}
                None => return Err(Reason::MissingSignedComponent.into()),
                Some(value) => {
                    // A number has the text of a string, and an application would take it for another value.
                    let value = if let LocatedValue::Json(json) = &value { json.as_str() } else { None };
                    let value = value.filter(|value| index == 0 || !value.contains(['\n', '\r']));
                    text.extend([name, "\n", value.ok_or(Reason::InvalidSignature)?, "\n"]);
                }
            }
        }
        Ok(text)
    }

    /// The names of the members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|member| member.name.as_str())
    }

    /// Whether this member is among them.
    pub(super) fn contain(&self, member: &Locator) -> bool {
        self.0.iter().any(|own| own.locator == *member)
    }
}

impl LineMember {
    fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('?').unwrap_or(text);
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let locator = Locator::parse("json", &format!("/{name}")).filter(|_| is_plain)?;
        Some(Self { name: name.to_owned(), locator, is_optional: text.ends_with('?') })
    }
}

/// Text, and JSON strings, integers and booleans as a sender's code prints them; `None` for other JSON values, which
/// have several spellings.
pub(super) fn text_of(value: LocatedValue<'_>) -> Option<Cow<'_, str>> {
    match value {
        LocatedValue::Text(text) => Some(text),
        LocatedValue::Json(value) => match value.into_owned() {
            Json::String(text) => Some(Cow::Owned(text)),
            Json::Bool(truth) => Some(Cow::Owned(truth.to_string())),
            Json::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
            Json::Number(_) | Json::Null | Json::Array(_) | Json::Object(_) => None,
        },
    }
}
