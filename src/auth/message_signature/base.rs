//! The signature base: the string that is signed (RFC 9421 §2.5).

use super::input::{LabelledSignatures, SignatureParameters};
use crate::auth::explanation::Explanation;
use crate::auth::request::RequestView;
use crate::reason::Reason;

/// The maximum size of a signature base in bytes: that of all headers of a request, and some derived components.
const MAX_BASE: usize = 64 * 1024;

/// The string that the sender of a request signs, whose `Signature-Input` is there already.
///
/// # Errors
/// `missing_credential` without an input of this label; `missing_signed_component`, `malformed_credential`.
pub fn base_to_sign(request: &RequestView<'_>, label: &str) -> Result<String, Reason> {
    let signatures = LabelledSignatures::read(request)?.ok_or(Reason::MissingCredential)?;
    let (_, input) = signatures.inputs().find(|(found, _)| *found == label).ok_or(Reason::MissingCredential)?;
    let parameters = SignatureParameters::read(input).map_err(|why| why.reason())?;
    signature_base(&parameters, request, &mut Explanation::off())
}

/// The string that a signature with these parameters is made over.
pub(super) fn signature_base(
    parameters: &SignatureParameters,
    request: &RequestView<'_>,
    explanation: &mut Explanation,
) -> Result<String, Reason> {
    let mut base = String::new();
    for component in &parameters.components {
        let value = component.value(request).inspect_err(|reason| {
            explanation.add("covered component", || format!("{component}: {}", reason.word()));
        })?;
        base.extend([&*component.to_string(), ": ", &value, "\n"]);
        if base.len() > MAX_BASE {
            return Err(Reason::MalformedCredential);
        }
    }
    base.extend(["\"@signature-params\": ", &parameters.serialized]);
    explanation.add("signature base", || base.clone());
    Ok(base)
}
