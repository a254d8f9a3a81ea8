//! Keyed hashes (HMAC-SHA256) of ids and requests. Without the key, an attacker cannot choose values that collide.
//!
//! Each part is preceded by its length, so that two different lists of parts never hash the same bytes.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, sign};

use super::state::{EntryId, Fingerprint, SenderId};

/// The keyed hash of one store.
#[derive(Clone)]
pub struct EntryHasher(Key);

impl EntryHasher {
    /// Uses the secret of this process, or that of the embedded store's file, which outlives the process.
    pub fn new(key: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// Derives the key from `prefix` and the secret key of the configuration, so that all replicas that share a Redis
    /// under this prefix have the same key. Without a secret key the hashes have no secret.
    pub fn of_replicas(prefix: &str, secret: Option<&[u8]>) -> Self {
        let name = format!("hookgate ids of {prefix}");
        match secret {
            Some(secret) => Self::new(sign(&Key::new(HMAC_SHA256, secret), name.as_bytes()).as_ref()),
            None => Self::new(name.as_bytes()),
        }
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

    /// The fingerprint of a request: a hash of its route, method, target, and body if that is known.
    pub fn fingerprint(&self, route: &str, method: &str, target: &str, body: Option<&[u8]>) -> Fingerprint {
        let known: &[u8] = if body.is_some() { b"body" } else { b"" };
        let parts = [route.as_bytes(), method.as_bytes(), target.as_bytes(), known, body.unwrap_or_default()];
        let [a, b, c, d, e, f, g, h, ..] = self.hash(b"fingerprint", &parts);
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
        let hasher = EntryHasher::of_replicas("a", None);
        assert_eq!(hasher.id(&[b"ab", b"c"]), hasher.id(&[b"ab", b"c"]));
        assert_ne!(hasher.id(&[b"ab", b"c"]), hasher.id(&[b"a", b"bc"]));
        let secret = Some(&b"secret"[..]);
        let keys = [("a", None), ("b", None), ("a", secret), ("b", secret), ("a", Some(&b"other"[..]))];
        let ids = keys.map(|(prefix, secret)| EntryHasher::of_replicas(prefix, secret).id(&[b"ab", b"c"]));
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{:?}", keys[index]);
        }
    }

    #[test]
    fn a_fingerprint_is_of_route_method_target_and_body() {
        let hasher = EntryHasher::new(b"key");
        let first = hasher.fingerprint("r", "POST", "/a", Some(b"x"));
        assert_eq!(first, hasher.fingerprint("r", "POST", "/a", Some(b"x")));
        for (route, method, target, body) in [
            ("s", "POST", "/a", Some(&b"x"[..])),
            ("r", "PUT", "/a", Some(b"x")),
            ("r", "POST", "/b", Some(b"x")),
            ("r", "POST", "/a", Some(b"y")),
            ("r", "POST", "/a", None),
        ] {
            assert_ne!(first, hasher.fingerprint(route, method, target, body));
        }
        assert_ne!(hasher.fingerprint("r", "POST", "/a", None), hasher.fingerprint("r", "POST", "/a", Some(b"")));
    }
}
