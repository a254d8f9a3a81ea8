//! The sender of a request, as its credentials prove it. Replay ids, idempotency keys, limits and
//! shares of the store are named by it, so that no sender can use up, or read, what belongs to another one.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

/// Longest text of a sender in the access log, in bytes: a subject may have 8 KiB.
const MAX_TEXT: usize = 200;

/// The holder of one credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The kind of `name`.
    pub kind: HolderKind,
    /// The name.
    pub name: Arc<str>,
    /// The key id of the secret, if the signature states one; of a tenant, its name.
    pub key_id: Option<Arc<str>>,
}

/// The kind of a holder's name. The words are hashed into stored ids, so that they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HolderKind {
    /// An issuer in gateway.yaml, or the preset of a token; the token's subject belongs to it.
    Issuer,
    /// `sender` of a secret in gateway.yaml. Several schemes may have secrets of one sender.
    Sender,
    /// A preset or scheme. All its secrets without a key id belong to one sender, since they may be those of a rotation.
    Scheme,
    /// A preset or scheme, whose `key_id` is the name of one of its tenants.
    Tenant,
    /// A subject alternative name, or the SHA-256 fingerprint of a certificate.
    Certificate,
}

impl Holder {
    /// The sender that a secret names.
    pub(super) fn named(sender: &Arc<str>) -> Self {
        Self { kind: HolderKind::Sender, name: Arc::clone(sender), key_id: None }
    }

    /// A tenant of a scheme.
    pub(super) fn of_tenant(scheme: &Arc<str>, tenant: &Arc<str>) -> Self {
        Self { kind: HolderKind::Tenant, name: Arc::clone(scheme), key_id: Some(Arc::clone(tenant)) }
    }
}

impl HolderKind {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Issuer => b"issuer",
            Self::Sender => b"sender",
            Self::Scheme => b"scheme",
            Self::Tenant => b"tenant",
            Self::Certificate => b"certificate",
        }
    }
}

/// SHA-256 of a secret or public key, which tells keys apart. It is redacted, since a weak secret can be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key.
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest(&SHA256, key).as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// The bytes to hash.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// The holder of one credential, with the subject of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity<'g> {
    pub(super) holder: &'g Holder,
    pub(super) subject: Option<&'g str>,
}

/// The sender of a request, by one of its credentials or by all of them; without any, as on a public route, all
/// requests have the same sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sender<'g>(Vec<Identity<'g>>);

impl<'g> Sender<'g> {
    /// The sender that these credentials identify, in their order and each once.
    pub(super) fn of(identities: impl IntoIterator<Item = Identity<'g>>) -> Self {
        let mut all = Vec::new();
        for identity in identities {
            if !all.contains(&identity) {
                all.push(identity);
            }
        }
        Self(all)
    }

    /// The bytes to hash. Each part is preceded by its length, and an absent part differs from an empty one, so that two
    /// senders never have the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Identity { holder, subject } in &self.0 {
            let parts = [Some(holder.kind.word()), Some(holder.name.as_bytes())];
            let optional = [holder.key_id.as_deref(), *subject].map(|part| part.map(str::as_bytes));
            for part in parts.into_iter().chain(optional) {
                bytes.push(u8::from(part.is_some()));
                let part = part.unwrap_or_default();
                bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                bytes.extend_from_slice(part);
            }
        }
        bytes
    }

    /// The sender for the access log; `None` without a credential. A long text is cut and ends with the start of its
    /// SHA-256, so that senders stay distinguishable.
    pub fn text(&self) -> Option<String> {
        let text = self.to_string();
        if text.len() <= MAX_TEXT {
            return Some(text).filter(|text| !text.is_empty());
        }
        let mut cut: String = text
            .chars()
            .scan(0, |length, one| {
                *length += one.len_utf8();
                (*length <= MAX_TEXT).then_some(one)
            })
            .collect();
        cut.push('…');
        for byte in digest(&SHA256, text.as_bytes()).as_ref().iter().take(8) {
            let _ = write!(cut, "{byte:02x}");
        }
        Some(cut)
    }
}

impl fmt::Display for Sender<'_> {
    /// Writes `acme/alice`, `github`, `signature/key-1`, `dns:sender.example.com`; several are joined by ` + `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Identity { holder, subject }) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " + " })?;
            f.write_str(&holder.name)?;
            for part in [holder.key_id.as_deref(), *subject].into_iter().flatten() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(kind: HolderKind, name: &str, key_id: Option<&str>) -> Holder {
        Holder { kind, name: name.into(), key_id: key_id.map(Into::into) }
    }

    #[test]
    fn no_two_senders_have_the_same_bytes() {
        let acme = holder(HolderKind::Issuer, "acme", None);
        let scheme = holder(HolderKind::Scheme, "acme", None);
        let keyed = holder(HolderKind::Scheme, "acme", Some("alice"));
        let run_together = holder(HolderKind::Issuer, "acmealice", None);
        // Without lengths, this name would be read as `acme` and the subject `x` with two absent parts.
        let imitated = holder(HolderKind::Issuer, "acme\0\x01x", None);
        let of = |holder, subject| Sender::of([Identity { holder, subject }]);
        let both = Sender::of([&acme, &scheme].map(|holder| Identity { holder, subject: None }));
        let reversed = Sender::of([&scheme, &acme].map(|holder| Identity { holder, subject: None }));
        let senders = [
            Sender::of([]),
            of(&acme, None),
            of(&acme, Some("")),
            of(&acme, Some("alice")),
            of(&scheme, None),
            of(&keyed, None),
            of(&scheme, Some("alice")),
            of(&run_together, None),
            of(&imitated, None),
            of(&acme, Some("x\0\0")),
            both,
            reversed,
        ];
        for (index, one) in senders.iter().enumerate() {
            for other in &senders[..index] {
                assert_ne!(one.to_bytes(), other.to_bytes(), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_credential_that_is_there_twice_counts_once() {
        let acme = holder(HolderKind::Issuer, "acme", None);
        let identity = Identity { holder: &acme, subject: Some("alice") };
        assert_eq!(Sender::of([identity, identity]), Sender::of([identity]));
    }

    #[test]
    fn a_sender_has_a_short_text() {
        let (acme, keyed) =
            (holder(HolderKind::Issuer, "acme", None), holder(HolderKind::Scheme, "signature", Some("k")));
        let both = Sender::of([
            Identity { holder: &acme, subject: Some("alice") },
            Identity { holder: &keyed, subject: None },
        ]);
        assert_eq!(both.text().as_deref(), Some("acme/alice + signature/k"));
        assert_eq!(Sender::of([]).text(), None);
        let text = |subject: &str| Sender::of([Identity { holder: &acme, subject: Some(subject) }]).text().unwrap();
        let (long, other) = ("é".repeat(4000), format!("{}x", "é".repeat(3999)));
        assert!(text(&long).len() <= MAX_TEXT + 19, "{}", text(&long));
        assert_ne!(text(&long), text(&other));
    }
}
