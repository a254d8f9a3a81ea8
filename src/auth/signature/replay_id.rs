//! The replay id of a signed request.

use std::borrow::Cow;

use super::component::Component;
use super::parse::Value;
use crate::auth::grant::{ReplayId, hash_of_pieces};
use crate::auth::rejection::VerifyError;
use crate::auth::request::RequestView;

/// The source of the replay id of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureReplayId {
    /// A signed component.
    Component(Component),
    /// The SHA-256 of the string to sign.
    Hash,
}

impl SignatureReplayId {
    /// The replay id of a request with a valid signature over `text`, which is made of these components; the caller sets
    /// its times. `time` is the component of the checked time, if that has one length.
    pub(super) fn of(
        &self,
        request: &RequestView<'_>,
        value: &Value<'_>,
        text: &[Cow<'_, [u8]>],
        (components, time): (&[Component], Option<&Component>),
    ) -> Result<ReplayId, VerifyError> {
        let (kind, id, text) = match self {
            Self::Hash => ("hash", hash_of_pieces(text), None),
            Self::Component(component) => {
                let id = component.text(request, value)?.into_owned().into_bytes();
                ("piece", id, has_movable_borders(components, time).then(|| hash_of_pieces(text)))
            }
        };
        Ok(ReplayId { kind, id, text, until: None, issued: None })
    }
}

/// Whether a string to sign can be split in another way, because more than one of its components may have any length: an
/// attacker could move bytes from one to the next, and from or into the replay id.
fn has_movable_borders(components: &[Component], time: Option<&Component>) -> bool {
    components.iter().any(Component::has_inner_borders)
        || components.iter().filter(|component| !component.has_fixed_length() && Some(*component) != time).count() > 1
}
