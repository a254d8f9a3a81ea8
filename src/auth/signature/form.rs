//! The form of a signature's value in words, for the detail of a rejection and for `explain`. None of them depends on
//! the request or on a secret.

use super::{Component, Parse, SignaturePolicy};
use crate::auth::encoding::Encoding;
use crate::auth::locator::Locator;

/// Stands for a part whose value is the sender's.
const ANY: &str = "…";

/// Stands for the signature.
const SIGNATURE: &str = "SIGNATURE";

impl SignaturePolicy {
    /// The form of the value, such as `t=…,v1=SIGNATURE`.
    pub fn form(&self) -> String {
        let parts = self.parts();
        match &self.parse {
            Parse::Raw => SIGNATURE.to_owned(),
            Parse::Prefix(prefix) => format!("{prefix}{SIGNATURE}"),
            Parse::List { separator, prefix } => format!("{prefix}{SIGNATURE}{separator}{ANY}"),
            Parse::Pairs { separator, equals, key } => {
                let pairs = parts.iter().copied().chain([(key.as_str(), SIGNATURE)]);
                pairs.map(|(name, text)| format!("{name}{equals}{text}")).collect::<Vec<_>>().join(separator)
            }
            Parse::Split { separator, index, .. } | Parse::Rest { separator, index } => {
                let named = |at: usize| parts.iter().find(|(name, _)| name.parse() == Ok(at)).map(|(_, text)| *text);
                let last = parts.iter().filter_map(|(name, _)| name.parse().ok()).fold(*index, usize::max);
                let field = |at: usize| if at == *index { SIGNATURE } else { named(at).unwrap_or(ANY) };
                (0..=last).map(field).collect::<Vec<_>>().join(separator)
            }
        }
    }

    /// The form of the signature alone, such as `64 hex digits in lower case`.
    pub fn signature_form(&self) -> String {
        let (unit, name) = match self.encoding {
            Encoding::Hex => ("hex digits in lower case", "hex in lower case"),
            Encoding::HexUpper => ("hex digits in capitals", "hex in capitals"),
            Encoding::Base64 => ("characters of base64", "base64"),
            Encoding::Base64Url => ("characters of base64url", "base64url"),
            Encoding::Base64OfHex => ("characters of base64 of hex", "base64 of hex"),
        };
        let lengths = self.algorithm.lengths();
        if lengths.start() < lengths.end() {
            return name.to_owned();
        }
        format!("{} {unit}", self.encoding.encode(&vec![0; *lengths.start()]).len())
    }

    /// The parts of the value beside the signature that the scheme reads, each with its text where that is fixed.
    pub fn parts(&self) -> Vec<(&str, &str)> {
        let fixed = self.required_parts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let time = self.time.iter().map(|time| &time.source);
        let read =
            time.chain(&self.key_id).chain(&self.signed_payload).chain(&self.id).filter_map(Component::part_name);
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for (name, text) in fixed.chain(read.map(|name| (name, ANY))) {
            if !parts.iter().any(|(known, _)| *known == name) {
                parts.push((name, text));
            }
        }
        parts
    }

    /// The detail of a value that does not have the form.
    pub(super) fn without_form(&self) -> String {
        format!("{} has not the form `{}`", self.place(), self.form())
    }

    /// The detail of signatures that are none by their encoding or length.
    pub(super) fn without_length(&self) -> String {
        format!("the signature in {} is not {}", self.place(), self.signature_form())
    }

    /// The detail of a signature that no secret or key has made. It is the same for an unknown tenant: a response with
    /// the detail must not say that it is one.
    pub(super) fn without_match(&self, has_body: bool) -> String {
        let keys = match &self.certificate {
            Some(_) => "is not that of the certificate's key",
            None if self.algorithm.is_asymmetric() => "is that of none of the public keys",
            None => "is that of none of the secrets",
        };
        let body = if self.binds_body() && !has_body { "; the body is empty" } else { "" };
        format!("the signature in {} {keys}{body}", self.place())
    }

    fn place(&self) -> String {
        self.places.iter().map(Locator::to_string).collect::<Vec<_>>().join(" or ")
    }
}
