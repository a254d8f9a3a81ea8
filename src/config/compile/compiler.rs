//! The state of a compilation, and what every part of it uses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::challenge::ChallengeRule;
use crate::auth::issuer::Issuer;
use crate::clock::UnixTime;
use crate::config::compiled::{Handles, NamedServer, TimedWarning};
use crate::config::error::Problem;
use crate::config::file::{FileName, GatewayYaml, Parsed};
use crate::config::reader::{Field, List, Location, Problems, Section};
use crate::config::sources::{SourceContent, Sources};
use crate::config::tenants::TenantFolder;
use crate::route::ErrorForm;

/// Compiles a file and collects problems and warnings.
pub(super) struct Compiler<'a> {
    pub(super) sources: &'a Sources,
    pub(super) file: &'a GatewayYaml,
    pub(super) known: &'a Handles,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<Problem>,
    pub(super) servers: Vec<(Problem, NamedServer)>,
    pub(super) secret_files: Vec<(Problem, PathBuf)>,
    /// The files and variables that an offline check does not read.
    pub(super) unread: Vec<Problem>,
    pub(super) timed_warnings: Vec<TimedWarning>,
    pub(super) unread_folders: Vec<(Problem, Arc<TenantFolder>)>,
    pub(super) handles: Handles,
    pub(super) certificates: Vec<(String, [UnixTime; 2])>,
    /// The names of all certificates of listeners.
    pub(super) certificate_names: Vec<String>,
}

/// The issuers that the schemes of a route may refer to, and what these schemes add to their route.
pub(super) struct RouteScope<'i> {
    pub(super) issuers: &'i BTreeMap<String, Issuer>,
    /// The number of secrets.
    pub(super) secrets: usize,
    /// Endpoint verification challenges.
    pub(super) challenges: Vec<ChallengeRule>,
    /// The format of error responses.
    pub(super) errors: ErrorForm,
    /// The preset of the scheme; of several, the last.
    pub(super) preset: Option<String>,
    /// The preset whose provider documents its largest body.
    pub(super) largest_body: Option<LargestBody>,
}

impl<'i> RouteScope<'i> {
    pub(super) fn new(issuers: &'i BTreeMap<String, Issuer>) -> Self {
        let (challenges, errors) = (Vec::new(), ErrorForm::default());
        Self { issuers, secrets: 0, challenges, errors, preset: None, largest_body: None }
    }
}

/// The largest body of a provider.
pub(super) struct LargestBody {
    pub(super) preset: String,
    /// The size, as the preset has it.
    pub(super) size: String,
    /// Whether the provider never sends a rejected request again.
    pub(super) never_retries: bool,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(sources: &'a Sources, known: &'a Handles, file: &'a GatewayYaml, problems: Problems) -> Self {
        Self {
            sources,
            file,
            known,
            problems,
            warnings: Vec::new(),
            servers: Vec::new(),
            secret_files: Vec::new(),
            unread: Vec::new(),
            timed_warnings: Vec::new(),
            unread_folders: Vec::new(),
            handles: Handles::default(),
            certificates: Vec::new(),
            certificate_names: Vec::new(),
        }
    }

    /// Records a server unless it is known.
    pub(super) fn server(&mut self, at: Location, server: NamedServer) {
        let is_same = |(_, known): &(Problem, NamedServer)| match (known, &server) {
            (NamedServer::KeySet(one), NamedServer::KeySet(other)) => Arc::ptr_eq(one, other),
            (NamedServer::Upstream(one), NamedServer::Upstream(other)) => Arc::ptr_eq(one, other),
            (NamedServer::KeySet(_), NamedServer::Upstream(_)) | (NamedServer::Upstream(_), NamedServer::KeySet(_)) => {
                false
            }
        };
        if !self.servers.iter().any(is_same) {
            self.servers.push((self.problems.at(at), server));
        }
    }

    pub(super) fn missing(&mut self, at: Location, what: &str) {
        self.problems.add_follow_up(at, format!("missing; expected {what}"));
    }

    /// The value of a field that must be written; `what` completes "missing; expected …".
    pub(super) fn required<'f, T>(&mut self, field: &'f Field<T>, what: &str) -> Option<&'f T> {
        let value = field.value();
        if value.is_none() {
            self.missing(field.at, what);
        }
        value
    }

    /// The one of these keys that is written; `missing` and `several` are the problems of none and of several.
    pub(super) fn only_one(
        &mut self,
        at: Location,
        keys: &[(&'static str, bool)],
        (missing, several): (&str, &str),
    ) -> Option<&'static str> {
        let written: Vec<&str> = keys.iter().filter(|(_, is_written)| *is_written).map(|(name, _)| *name).collect();
        match written.as_slice() {
            [] => self.missing(at, missing),
            [name] => return Some(name),
            _several => self.problems.add(at, several),
        }
        None
    }

    /// Reports that none or several of the keys `names` are written.
    pub(super) fn not_one(&mut self, at: Location, names: &str, is_any_written: bool) {
        if is_any_written {
            self.problems.add_unless_known(at, format!("has more than one of {names}; keep one"));
        } else {
            self.missing(at, &format!("exactly one of {names}"));
        }
    }

    /// Reports an empty list, which would reject every request.
    pub(super) fn not_empty<T>(&mut self, list: &Section<List<T>>, problem: &str) {
        if list.is_written && list.is_empty() && !self.problems.has_within(list.at) {
            self.problems.add(list.at, problem);
        }
    }

    /// Reports each of these places of keys that are written, and would have no effect.
    pub(super) fn unused(&mut self, keys: &[Option<Location>], problem: &str) {
        keys.iter().flatten().for_each(|at| self.problems.add_unless_known(*at, problem));
    }

    pub(super) fn warn(&mut self, at: Location, warning: &str) {
        self.warnings.push(Problem { message: warning.to_owned(), ..self.problems.at(at) });
    }

    /// The error as a problem at this place.
    pub(super) fn check<T, E: std::fmt::Display>(&mut self, at: Location, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problems.add(at, error.to_string())).ok()
    }

    /// Like [`Self::check`], for the contents of a file.
    pub(super) fn usable<T, E: std::fmt::Display>(&mut self, at: Location, result: Result<T, E>) -> Option<T> {
        self.check(at, result.map_err(|error| format!("cannot be used: {error}")))
    }

    /// The contents of the file that a field names.
    pub(super) fn file(&mut self, field: &Field<Parsed<FileName>>) -> Option<&'a [u8]> {
        let name = &self.required(field, "the path of a file")?.text;
        self.content(self.sources.files.get(name), field.at, &format!("file {}", name.escape_debug()))
    }

    /// Records that a file has a secret or a private key.
    pub(super) fn secret_file(&mut self, field: &Field<Parsed<FileName>>) {
        if let Some(name) = field.value() {
            self.secret_files.push((self.problems.at(field.at), self.sources.resolve(&name.text)));
        }
    }

    /// The contents of the file that a field names; `None` in a `Some` if there is no field.
    pub(super) fn optional_file(&mut self, field: &Field<Parsed<FileName>>) -> Option<Option<Vec<u8>>> {
        field.if_written(|field| Some(self.file(field)?.to_vec()))
    }

    pub(super) fn content(&mut self, content: Option<&'a SourceContent>, at: Location, what: &str) -> Option<&'a [u8]> {
        if self.sources.is_offline {
            self.unread.push(Problem { message: what.to_owned(), ..self.problems.at(at) });
            return None;
        }
        match content {
            Some(Ok(bytes)) => return Some(bytes.as_slice()),
            Some(Err(error)) => self.problems.add(at, format!("{what}: {error}")),
            None => self.problems.add(at, format!("{what}: was not read")),
        }
        None
    }
}
