//! Keys of signatures: each belongs to a secret or public key of a route, and the key id of a signature selects it.

use std::sync::Arc;

use super::algorithm::Algorithm;
use super::key::{Key, KeyId};
use super::key_set::KeySet;
use crate::reason::Reason;

impl KeySet {
    /// The same keys as those of the secret or public key with this index, key id and sender. Without a key id they are
    /// used for any.
    #[must_use]
    pub fn belonging_to(self, secret: usize, id: Option<&str>, sender: Option<&Arc<str>>) -> Self {
        let id = id.map_or(KeyId::Pinned, |id| KeyId::Named(id.to_owned()));
        let keys = self.keys.into_iter();
        let keys = keys.map(|key| Key { id: id.clone(), secret: Some(secret), sender: sender.cloned(), ..key });
        Self { keys: keys.collect() }
    }

    /// The candidate keys for a signature with this key id, whose algorithm is that of the key; never empty. `fits` says
    /// whether the algorithm that the signature states, if it does, is this one.
    ///
    /// # Errors
    /// `unknown_key`; `unsupported_algorithm` if the key with this id is for another algorithm than the stated one.
    pub fn select_by_key_id(&self, id: Option<&str>, fits: impl Fn(Algorithm) -> bool) -> Result<Vec<&Key>, Reason> {
        let answering: Vec<&Key> = self.keys.iter().filter(|key| key.id.answers_to(id)).collect();
        let fitting: Vec<&Key> = answering.iter().copied().filter(|key| fits(key.algorithm)).collect();
        let pinned = fitting.iter().all(|key| key.id == KeyId::Pinned);
        match fitting.len() {
            0 if answering.is_empty() => Err(Reason::UnknownKey),
            0 => Err(Reason::UnsupportedAlgorithm),
            count if count == 1 || pinned => Ok(fitting),
            // Two candidates of a key set are ambiguous: its owner selects a key by its id.
            _several => Err(Reason::UnknownKey),
        }
    }
}
