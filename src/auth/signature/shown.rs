//! The string to sign, as `hookgate explain` prints it.

use std::borrow::Cow;

use memchr::memmem;
use zeroize::Zeroizing;

use crate::auth::secret::Secret;

/// The string to sign, for `explain`; a secret that the sender put into it is replaced by `<secret>`. It is found by its
/// bytes, since text that is no UTF-8 has lost some.
pub(super) fn shown(text: &[Cow<'_, [u8]>], secret: &Secret) -> String {
    let text = Zeroizing::new(text.concat());
    let (mut rest, mut shown) = (text.as_slice(), String::new());
    if let Some(secret) = secret.key.shared().filter(|secret| !secret.is_empty()) {
        while let Some((before, after)) = memmem::find(rest, secret).and_then(|at| rest.split_at_checked(at)) {
            shown += &String::from_utf8_lossy(before);
            shown += "<secret>";
            rest = after.get(secret.len()..).unwrap_or_default();
        }
    }
    shown + &String::from_utf8_lossy(rest)
}
