//! `revocation` of a route.

use std::sync::Arc;

use super::compiler::{Compiler, content};
use crate::auth::Policy;
use crate::auth::revocation::{RevocationHandle, RevocationList};
use crate::config::error::FieldPath;
use crate::config::file::RevocationFile;
use crate::config::revocation;

impl Compiler<'_> {
    /// The handle of the file's list: the one in use, if there is one. Later problems of that file are reported by the
    /// watcher of revocation lists, and do not block other changes of the configuration.
    pub(super) fn revocation(
        &mut self,
        file: Option<&RevocationFile>,
        policy: Option<&Policy>,
        path: &FieldPath,
    ) -> Option<Arc<RevocationHandle>> {
        let file = file?;
        let revocable =
            |policy: &Policy| policy.leaves().iter().any(|leaf| matches!(leaf, Policy::Jwt(_) | Policy::Detached(_)));
        if policy.is_some_and(|policy| !revocable(policy)) {
            self.problems.add(path, "without a JWT there is no token to revoke; remove it");
        }
        if file.shared == Some(true) {
            if !self.shares_limits {
                self.problems.add(&path.child("shared"), "requires a `store` of type redis; use `file` instead");
            }
            self.route_shares_revocation = true;
        }
        let path = path.child("file");
        let Some(name) = &file.file else {
            if file.shared != Some(true) {
                self.missing(&path, "the path of a YAML file with the revoked jti, sub or kid, or `shared: true`");
            }
            return None;
        };
        let same = |handle: &&Arc<RevocationHandle>| handle.file == *name;
        if let Some(shared) = self.handles.revocations.iter().find(same) {
            return Some(Arc::clone(shared));
        }
        let handle = match self.known.revocations.iter().find(same) {
            Some(known) => Arc::clone(known),
            None => Arc::new(RevocationHandle::new(name.clone(), self.first_list(name, &path)?)),
        };
        self.handles.revocations.push(Arc::clone(&handle));
        Some(handle)
    }

    fn first_list(&mut self, name: &str, path: &FieldPath) -> Option<RevocationList> {
        let found = self.sources.revocations.get(name);
        let bytes = content(found, &mut self.problems, path, &format!("file {name}"))?;
        match revocation::read(name, bytes) {
            Ok(list) => Some(list),
            Err(errors) => {
                revocation::problem_lines(&errors).into_iter().for_each(|problem| self.problems.add(path, problem));
                None
            }
        }
    }
}
