//! The signatures of a request: the members of `Signature-Input` and `Signature` (RFC 9421 §4), and the parameters of one.

use http::HeaderName;
use sfv::{BareItem, Dictionary, InnerList, ListEntry};

use super::component::{ComponentError, ComponentIdentifier, serialized};
use crate::auth::request::RequestView;
use crate::auth::structured_field::dictionary;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// `Signature-Input`: what each signature covers.
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// `Signature`: the signatures themselves.
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// The maximum number of signatures in a request: of its sender, and of proxies on the way.
const MAX_SIGNATURES: usize = 8;

/// The maximum number of components that a signature covers.
const MAX_COMPONENTS: usize = 64;

/// The signatures of a request, by their labels.
pub(super) struct LabelledSignatures {
    inputs: Dictionary,
    signatures: Dictionary,
}

impl LabelledSignatures {
    /// Reads the signatures; `None` if the request has no `Signature-Input`. `Signature` alone is another scheme's.
    pub(super) fn read(request: &RequestView<'_>) -> Result<Option<Self>, Reason> {
        let Some(inputs) = dictionary(request, &SIGNATURE_INPUT)? else { return Ok(None) };
        let signatures = dictionary(request, &SIGNATURE)?.unwrap_or_default();
        if inputs.len() > MAX_SIGNATURES || signatures.len() > MAX_SIGNATURES {
            return Err(Reason::MalformedCredential);
        }
        Ok(Some(Self { inputs, signatures }))
    }

    pub(super) fn labels(&self) -> String {
        self.inputs.keys().map(|label| label.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Each signature's label and input.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, &ListEntry)> {
        self.inputs.iter().map(|(label, input)| (label.as_str(), input))
    }

    /// The bytes of the signature with this label.
    pub(super) fn bytes(&self, label: &str) -> Option<&[u8]> {
        match self.signatures.get(label)? {
            ListEntry::Item(item) => item.bare_item.as_byte_sequence(),
            ListEntry::InnerList(_) => None,
        }
    }
}

/// The covered components of one signature, and its parameters (RFC 9421 §2.3).
#[derive(Clone, Debug)]
pub(super) struct SignatureParameters {
    /// The serialization, which is signed.
    pub(super) serialized: String,
    pub(super) components: Vec<ComponentIdentifier>,
    pub(super) created: Option<UnixTime>,
    pub(super) expires: Option<UnixTime>,
    pub(super) nonce: Option<String>,
    pub(super) algorithm: Option<String>,
    pub(super) key_id: Option<String>,
    pub(super) tag: Option<String>,
}

/// Why the parameters cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParametersError {
    /// Not a list of components.
    #[error("Signature-Input is not a list of components in parentheses")]
    NoList,
    /// A component that cannot be verified.
    #[error("the component {0} {1}")]
    Component(String, ComponentError),
    /// A component that is listed twice.
    #[error("the component {0} is covered twice")]
    Doubled(String),
    /// More than 64 components.
    #[error("more than {MAX_COMPONENTS} components are covered")]
    TooMany,
    /// A parameter that is no text.
    #[error("the parameter {0} is not a string")]
    NoText(&'static str),
    /// A time that is no number of seconds.
    #[error("the parameter {0} is not a time in whole seconds")]
    NoTime(&'static str),
}

impl ParametersError {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::NoTime(_) => Reason::MalformedTimestamp,
            Self::NoList | Self::Component(..) | Self::Doubled(_) | Self::TooMany | Self::NoText(_) => {
                Reason::MalformedCredential
            }
        }
    }
}

impl SignatureParameters {
    /// The tag of an input, which may be invalid otherwise.
    pub(super) fn tag_of(input: &ListEntry) -> Option<&str> {
        match input {
            ListEntry::InnerList(list) => list.params.get("tag")?.as_string().map(|tag| tag.as_str()),
            ListEntry::Item(_) => None,
        }
    }

    pub(super) fn read(input: &ListEntry) -> Result<Self, ParametersError> {
        let ListEntry::InnerList(list) = input else { return Err(ParametersError::NoList) };
        if list.items.len() > MAX_COMPONENTS {
            return Err(ParametersError::TooMany);
        }
        let mut components: Vec<ComponentIdentifier> = Vec::with_capacity(list.items.len());
        for item in &list.items {
            let name = || sfv::FieldType::serialize(item);
            let component = ComponentIdentifier::of(item).map_err(|why| ParametersError::Component(name(), why))?;
            if components.contains(&component) {
                return Err(ParametersError::Doubled(name()));
            }
            components.push(component);
        }
        Ok(Self {
            serialized: serialized(input),
            components,
            created: time(list, "created")?,
            expires: time(list, "expires")?,
            nonce: text(list, "nonce")?,
            algorithm: text(list, "alg")?,
            key_id: text(list, "keyid")?,
            tag: text(list, "tag")?,
        })
    }
}

fn text(list: &InnerList, name: &'static str) -> Result<Option<String>, ParametersError> {
    match list.params.get(name) {
        None => Ok(None),
        Some(BareItem::String(text)) => Ok(Some(text.as_str().to_owned())),
        Some(_) => Err(ParametersError::NoText(name)),
    }
}

fn time(list: &InnerList, name: &'static str) -> Result<Option<UnixTime>, ParametersError> {
    let Some(value) = list.params.get(name) else { return Ok(None) };
    let seconds = value.as_integer().and_then(|seconds| u64::try_from(seconds).ok());
    seconds.and_then(UnixTime::from_seconds).map(Some).ok_or(ParametersError::NoTime(name))
}
