//! `revocation` of a route.

use std::sync::Arc;

use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::revocation::{RevocationHandle, RevocationList};
use crate::config::file::RevocationYaml;
use crate::config::reader::{Field, Location};
use crate::config::revocation;

impl Compiler<'_> {
    /// The handle of the file's list: the one in use, if there is one. Later problems of that file are reported by the
    /// watcher of revocation lists, and do not block other changes of the configuration.
    pub(super) fn revocation(
        &mut self,
        field: &Field<RevocationYaml>,
        policy: Option<&Policy>,
    ) -> Option<Arc<RevocationHandle>> {
        let file = field.value()?;
        let is_revocable =
            |leaf: &&Policy| matches!(leaf, Policy::Jwt(_) | Policy::Detached(_) | Policy::MessageSignature(_));
        let revocable = |policy: &Policy| policy.leaves().iter().any(is_revocable);
        if policy.is_some_and(|policy| !revocable(policy)) {
            self.problems.add(field.at, "without a JWT there is no token to revoke; remove it");
        }
        if file.shared.get() && !self.file.has_shared_store() {
            self.problems.add(file.shared.at, "requires a `store` of type redis; use `file` instead");
        }
        if !file.file.is_written() && file.shared.get() {
            return None;
        }
        let what = "the path of a YAML file with the revoked jti, sub or kid, or `shared: true`";
        let name = &self.required(&file.file, what)?.text;
        let same = |handle: &&Arc<RevocationHandle>| handle.file == *name;
        if let Some(shared) = self.handles.revocations.iter().find(same) {
            return Some(Arc::clone(shared));
        }
        let handle = match self.known.revocations.iter().find(same) {
            Some(known) => Arc::clone(known),
            None => Arc::new(RevocationHandle::new(name.clone(), self.first_list(name, file.file.at)?)),
        };
        self.handles.revocations.push(Arc::clone(&handle));
        Some(handle)
    }

    fn first_list(&mut self, name: &str, at: Location) -> Option<RevocationList> {
        let bytes = self.content(self.sources.revocations.get(name), at, &format!("file {}", name.escape_debug()))?;
        let list = revocation::read(name, bytes);
        list.map_err(|errors| {
            revocation::problem_lines(&errors).into_iter().for_each(|problem| self.problems.add(at, problem));
        })
        .ok()
    }
}
