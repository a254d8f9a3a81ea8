//! The inputs of a configuration, as bytes: the YAML, and each file and environment variable that it references.
//! The only part of the configuration that reads files and the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::compiled::Handles;
use super::environment::{Lookup, NOT_SET, Substituted, substitute};
use super::error::{ConfigErrors, IncludedFiles, Position, Problem};
use super::file::{GatewayYaml, IncludePattern, Text};
pub use super::files::SourceContent;
use super::files::read_file;
use super::reader::{Named, Problems};
use super::yaml::{Node, NodeValue};
use super::{include, misplaced, revocation, yaml};
use crate::snapshot::ConfigHash;

/// Size limit of a file that a configuration references, except a revocation list.
const MAX_FILE: u64 = 4 << 20;

/// The inputs of a configuration.
pub struct Sources {
    /// Path of the YAML, as given.
    pub path: PathBuf,
    /// Text of the YAML.
    text: String,
    /// The configuration as it was read, with its problems; or the problems of a text that is not YAML.
    pub(super) document: Result<(GatewayYaml, Problems), Vec<Problem>>,
    /// The files with further routes, by their paths as `include` names them.
    pub(super) included: include::Contents,
    /// Where their lines and routes are.
    pub(super) included_files: IncludedFiles,
    /// The folder that `include` names, which may have no file yet.
    include_folder: Option<String>,
    /// The environment variables in scalars.
    substituted: Substituted,
    /// The files that the YAML references, by the paths written there.
    pub files: BTreeMap<String, SourceContent>,
    /// The environment variables that it references.
    pub variables: BTreeMap<String, SourceContent>,
    /// The revocation lists that it references and that no handle holds yet. They change on their own and are not part
    /// of the configuration's hash.
    pub revocations: BTreeMap<String, SourceContent>,
    /// Whether the files and variables are not read: only the YAML is checked.
    pub is_offline: bool,
}

impl Sources {
    /// Reads all inputs, except the revocation lists that `known` handles keep up to date themselves.
    ///
    /// # Errors
    /// Only if the YAML itself cannot be read: [`super::compile()`] reports a missing file or variable, with the
    /// position of the field that names it.
    pub fn read(path: &Path, known: &Handles) -> Result<Self, ConfigErrors> {
        let text = read_yaml(path)?;
        let read = read_text(path, &text, include::read);
        let held = |name: &String| known.revocations.iter().any(|handle| handle.file == *name);
        let lists = read.named.revocations.iter().filter(|name| !held(name)).cloned();
        let files = contents(read.named.files.clone(), |name| read_file(&path.with_file_name(name), MAX_FILE));
        let variables = contents(read.named.variables.clone(), read_variable);
        let revocations = contents(lists, |name| read_revocation(path, name));
        Ok(Self { files, variables, revocations, ..Self::new(path.to_owned(), text, read) })
    }

    /// Reads the YAML alone.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_offline(path: &Path) -> Result<Self, ConfigErrors> {
        let text = read_yaml(path)?;
        let read = read_text(path, &text, include::read);
        Ok(Self { is_offline: true, ..Self::new(path.to_owned(), text, read) })
    }

    fn new(path: PathBuf, text: String, read: ReadText) -> Self {
        let ReadText { document, included, included_files, include_folder, substituted, named: _ } = read;
        Self {
            path,
            text,
            document,
            included,
            included_files,
            include_folder,
            substituted,
            files: BTreeMap::new(),
            variables: BTreeMap::new(),
            revocations: BTreeMap::new(),
            is_offline: false,
        }
    }

    /// Problems of the configuration.
    pub(super) fn errors(&self, problems: Vec<Problem>) -> ConfigErrors {
        let problems = self.substituted.explained(problems);
        ConfigErrors::new(self.path.display().to_string(), problems).with_included(self.included_files.clone())
    }

    /// A configuration whose text is `text`, and which references these files and no others.
    pub fn in_memory(path: PathBuf, text: String, files: BTreeMap<String, SourceContent>) -> Self {
        let read = read_text(&path, &text, |_, _| Ok(include::Contents::new()));
        Self { files, ..Self::new(path, text, read) }
    }

    /// The path of a file that the YAML references: a relative path starts at the directory of the YAML.
    pub fn resolve(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// A hash over all inputs except the revocation lists: equal hashes mean that the configuration has not changed.
    pub fn hash(&self) -> ConfigHash {
        let inputs = self.files.iter().chain(&self.variables).chain(&self.included).chain(&self.substituted.variables);
        hash(self.text.as_bytes(), inputs)
    }

    /// SHA-256 of the YAML alone, as `sha256sum` prints it.
    pub fn yaml_hash(&self) -> String {
        hex::encode(digest(&SHA256, self.text.as_bytes()))
    }

    /// A hash over all inputs that were read: a rejected configuration is rejected again while this hash is the same.
    pub fn attempt(&self) -> ConfigHash {
        hash(&self.hash().0, self.revocations.iter())
    }

    /// The directories in which a file may change, including those of the `known` handles: an active revocation list is
    /// watched also while the YAML cannot be read.
    pub fn folders(&self, known: &Handles) -> Vec<PathBuf> {
        let base = self.path.parent().unwrap_or(Path::new(""));
        let lists = self.revocations.keys().chain(known.revocations.iter().map(|handle| &handle.file));
        let tenants = known.tenants.iter().map(|folder| self.resolve(&folder.dir));
        let files = self.files.keys().chain(lists).filter_map(|name| self.resolve(name).parent().map(Path::to_owned));
        let included = self.include_folder.iter().map(|folder| self.resolve(folder));
        let all = files.chain([base.to_owned()]).chain(tenants).chain(included);
        let mut folders: Vec<PathBuf> = all.map(or_here).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// Where a field of gateway.yaml is, such as `listeners[0].address`; `None` if the file no longer has it.
pub fn position_of(path: &Path, field: &str) -> Option<Position> {
    let mut node = &yaml::read(&read_yaml(path).ok()?).ok()?;
    for step in field.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        node = match &node.value {
            NodeValue::Mapping(entries) => entries.iter().find(|(key, _)| key == step).map(|(_, node)| node)?,
            NodeValue::List(items) => items.get(step.parse::<usize>().ok()?)?,
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::String(_) => return None,
        };
    }
    Some(node.position)
}

fn read_yaml(path: &Path) -> Result<String, ConfigErrors> {
    let unreadable = |error: String| ConfigErrors::unreadable(path.display().to_string(), error);
    let bytes = read_file(path, MAX_FILE).map_err(unreadable)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| unreadable("not UTF-8 text".to_owned()))
}

/// The YAML as it was read, with what it names.
struct ReadText {
    document: Result<(GatewayYaml, Problems), Vec<Problem>>,
    named: Named,
    included: include::Contents,
    included_files: IncludedFiles,
    include_folder: Option<String>,
    substituted: Substituted,
}

/// Reads the text, with the files that `list` finds for `include`.
fn read_text(
    path: &Path,
    text: &str,
    list: impl Fn(&Path, &IncludePattern) -> Result<include::Contents, String>,
) -> ReadText {
    let mut read = ReadText {
        document: Err(Vec::new()),
        named: Named::default(),
        included: include::Contents::new(),
        included_files: IncludedFiles::default(),
        include_folder: None,
        substituted: Substituted::default(),
    };
    let mut document = match read_mapping(text) {
        Ok(document) => document,
        Err(problems) => return ReadText { document: Err(problems), ..read },
    };
    substitute(&mut document, &[], &read_variable, &mut read.substituted);
    let mut problems = Vec::new();
    if let Some((pattern, place)) = include::pattern(&document)
        && let Ok(pattern) = IncludePattern::parse(pattern)
    {
        match list(path, &pattern) {
            Ok(contents) => read.included = contents,
            Err(message) => problems.push(Problem { message, ..place }),
        }
        read.include_folder = Some(pattern.folder);
    }
    let to_replace = (&read_variable as &Lookup<'_>, &mut read.substituted);
    let lines = text.lines().count() + 1;
    let (files, found) = include::merge(&mut document, lines, path, &read.included, to_replace);
    read.included_files = files;
    let (file, mut report) = GatewayYaml::read(document);
    let all = problems.into_iter().chain(found).chain(read.substituted.problems.iter().cloned());
    all.for_each(|problem| report.problems.add_problem(problem));
    ReadText { document: Ok((file, report.problems)), named: report.named, ..read }
}

/// The document, which must be a mapping of this program.
fn read_mapping(text: &str) -> Result<Node, Vec<Problem>> {
    let document =
        yaml::read(text).map_err(|problems| misplaced::other_syntax(text).map_or(problems, |one| vec![one]))?;
    match misplaced::other_program(&document) {
        Some(problem) => Err(vec![problem]),
        None if document.is_mapping() => Ok(document),
        None => Err(vec![misplaced::no_mapping(text)]),
    }
}

fn contents(
    names: impl IntoIterator<Item = String>,
    read: impl Fn(&str) -> SourceContent,
) -> BTreeMap<String, SourceContent> {
    let read = |name: String| {
        let content = read(&name);
        (name, content)
    };
    names.into_iter().map(read).collect()
}

fn or_here(folder: PathBuf) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
}

fn hash<'c>(first: &[u8], named: impl Iterator<Item = (&'c String, &'c SourceContent)>) -> ConfigHash {
    let mut parts = vec![first];
    for (name, content) in named {
        parts.push(name.as_bytes());
        parts.push(content.as_ref().map_or_else(|error| error.as_bytes(), |bytes| bytes.as_slice()));
    }
    ConfigHash::of(&parts)
}

/// The bytes of a revocation list that the configuration at `path` names.
pub fn read_revocation(path: &Path, name: &str) -> SourceContent {
    read_file(&path.with_file_name(name), revocation::MAX_FILE)
}

fn read_variable(name: &str) -> SourceContent {
    match std::env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value.into_bytes())),
        Err(std::env::VarError::NotPresent) => Err(NOT_SET.to_owned()),
        Err(std::env::VarError::NotUnicode(_)) => Err("not UTF-8 text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::revocation::{RevocationHandle, RevocationList};

    fn sources(list: &str) -> Sources {
        let list = ("new/list.yaml".to_owned(), Ok(Zeroizing::new(list.as_bytes().to_vec())));
        let sources = Sources::in_memory("conf/gateway.yaml".into(), "routes: [".into(), BTreeMap::new());
        Sources { revocations: BTreeMap::from([list]), ..sources }
    }

    /// The YAML cannot be parsed, and the active list is watched all the same.
    #[test]
    fn folders_of_active_lists_are_watched_even_if_the_yaml_is_invalid() {
        let handle = RevocationHandle::new("lists/old.yaml".into(), RevocationList::default());
        let known = Handles { revocations: vec![Arc::new(handle)], ..Handles::default() };
        let folders: Vec<PathBuf> = ["conf", "conf/lists", "conf/new"].map(PathBuf::from).into();
        assert_eq!(sources("").folders(&known), folders);
    }

    #[test]
    fn a_list_says_which_attempt_this_is_and_not_which_configuration() {
        let (one, other) = (sources("jti: [a]"), sources("jti: [b]"));
        assert_eq!(one.hash(), other.hash());
        assert_ne!(one.attempt(), other.attempt());
    }

    /// Without a writer, a FIFO would stop the start, and each reload.
    #[test]
    fn a_file_that_is_not_regular_is_not_read() {
        let folder = tempfile::TempDir::new().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&fifo, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(read_file(path, 9).unwrap_err(), "not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_load_parses_the_file_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("gateway.yaml");
        std::fs::write(folder.path().join("secret"), "a secret of 32 bytes or more, as it should be").unwrap();
        let text = "listeners: [{ address: '127.0.0.1:0', plaintext: true }]\nroutes:\n  - { name: a, match: { path: / }, \
                    upstream: { url: 'http://127.0.0.1:1' }, auth: { static_token: { header: X, secret: { file: secret } } } }";
        std::fs::write(&path, text).unwrap();
        let before = yaml::DOCUMENTS.get();
        crate::config::load(&path, &Handles::default()).unwrap();
        assert_eq!(yaml::DOCUMENTS.get() - before, 1);
    }
}
