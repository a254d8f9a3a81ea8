//! Keyed hashes (HMAC-SHA256) of ids and requests. Without the key, an attacker cannot choose values that collide.
//!
//! Each part is preceded by its length, so that two different lists of parts never hash the same bytes.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

use super::state::{EntryId, Fingerprint, SenderId};

/// The keyed hash of one store.
#[derive(Clone)]
pub struct EntryHasher(Key);

impl EntryHasher {
    /// Uses the secret of this process, or that of the embedded store's file, which outlives the process.
    pub fn new(key: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// Derives the key from `prefix`, so that all replicas that share a Redis under this prefix have the same key.
    pub fn of_prefix(prefix: &str) -> Self {
        Self::new(format!("hookgate ids of {prefix}").as_bytes())
    }

    /// The entry of an id. The first part is the kind of entry and the next ones its route and its sender, so that no
    /// sender can use up ids of another one.
    pub fn id(&self, parts: &[&[u8]]) -> EntryId {
        EntryId(self.hash(b"id", parts))
    }

    /// The sender of entries on a route.
    pub fn sender(&self, route: &str, sender: &[u8]) -> SenderId {
        SenderId(self.hash(b"sender", &[route.as_bytes(), sender]))
    }

    /// The fingerprint of a request: a hash of its method, target, and body if that is known.
    pub fn fingerprint(&self, method: &str, target: &str, body: Option<&[u8]>) -> Fingerprint {
        let known: &[u8] = if body.is_some() { b"body" } else { b"" };
        let [a, b, c, d, e, f, g, h, ..] =
            self.hash(b"fingerprint", &[method.as_bytes(), target.as_bytes(), known, body.unwrap_or_default()]);
        Fingerprint(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    fn hash(&self, what: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        let mut context = Context::with_key(&self.0);
        for part in [what].iter().chain(parts) {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 16];
        hash.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together_and_keys_do_not_agree() {
        let hasher = EntryHasher::of_prefix("a");
        assert_eq!(hasher.id(&[b"ab", b"c"]), hasher.id(&[b"ab", b"c"]));
        assert_ne!(hasher.id(&[b"ab", b"c"]), hasher.id(&[b"a", b"bc"]));
        assert_ne!(hasher.id(&[b"ab", b"c"]), EntryHasher::of_prefix("b").id(&[b"ab", b"c"]));
    }

    #[test]
    fn a_fingerprint_is_of_method_target_and_body() {
        let hasher = EntryHasher::new(b"key");
        let first = hasher.fingerprint("POST", "/a", Some(b"x"));
        assert_eq!(first, hasher.fingerprint("POST", "/a", Some(b"x")));
        for (method, target, body) in [
            ("PUT", "/a", Some(&b"x"[..])),
            ("POST", "/b", Some(b"x")),
            ("POST", "/a", Some(b"y")),
            ("POST", "/a", None),
        ] {
            assert_ne!(first, hasher.fingerprint(method, target, body));
        }
        assert_ne!(hasher.fingerprint("POST", "/a", None), hasher.fingerprint("POST", "/a", Some(b"")));
    }
}
