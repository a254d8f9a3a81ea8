//! The imports between the source files of the crate: which file uses items of which other one, and that no files use
//! each other in a circle. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use syn::{Item, UseTree};

use crate::layers::paths::paths;
use crate::layers::source::{Source, sources};

/// The middle storey of `auth`, whose modules do not use each other.
const SCHEMES: &[&str] = &["certificate_rule", "detached", "jwt", "message_signature", "signature", "static_token"];

/// The top storey of `auth`; every other module is on the ground.
const TOP: &[&str] = &["challenge", "policy", "replay_protection", "revocation", "rules", "strictness"];

/// A module's path, such as `["auth", "keys"]`; empty for lib.rs.
type Module = Vec<String>;

/// For each module the modules whose items it uses.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The declarations and the paths of a file, tests left out.
struct File {
    children: BTreeSet<String>,
    /// The names that its `use` lines bring in, with their paths.
    imports: BTreeMap<String, Module>,
    /// Every path in it, those of the `use` lines included.
    paths: Vec<Module>,
}

impl File {
    fn new(source: &Source) -> Self {
        let (mut children, mut imports) = (BTreeSet::new(), BTreeMap::new());
        for item in source.syntax(source.shipped()).items {
            match item {
                Item::Mod(module) if module.content.is_none() => drop(children.insert(module.ident.to_string())),
                Item::Use(item) => expand(&item.tree, &[], &mut imports),
                _ => {}
            }
        }
        Self { children, imports, paths: paths(&source.path(), source.shipped()) }
    }
}

fn expand(tree: &UseTree, prefix: &[String], imports: &mut BTreeMap<String, Module>) {
    let path = |name: &dyn ToString| [prefix, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(segment) => expand(&segment.tree, &path(&segment.ident), imports),
        UseTree::Name(name) if name.ident == "self" => {
            imports.extend(prefix.last().cloned().zip(Some(prefix.to_vec())))
        }
        UseTree::Name(name) => drop(imports.insert(name.ident.to_string(), path(&name.ident))),
        UseTree::Rename(name) => drop(imports.insert(name.rename.to_string(), path(&name.ident))),
        UseTree::Group(group) => group.items.iter().for_each(|tree| expand(tree, prefix, imports)),
        UseTree::Glob(_) => {}
    }
}

type Files = BTreeMap<Module, File>;

fn files(sources: &[Source]) -> Files {
    let library = sources.iter().filter(|source| !source.is_test && source.name != "main.rs");
    library.map(|source| (source.path().iter().map(ToString::to_string).collect(), File::new(source))).collect()
}

/// The module whose file declares the item at `path`, as written in `from`, re-exports followed; `None` for other
/// crates and local names.
fn resolve(files: &Files, from: &[String], path: &[String]) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut module = match first.as_str() {
        "crate" => Module::new(),
        "self" => from.to_vec(),
        "super" => from.split_last()?.1.to_vec(),
        child if files[from].children.contains(child) => {
            rest = path;
            from.to_vec()
        }
        name => {
            let import = files[from].imports.get(name).filter(|import| import[0] != name)?;
            return resolve(files, from, &[import, rest].concat());
        }
    };
    for name in rest {
        if name == "super" {
            module.pop();
        } else if name == "self" {
            // The group's own module.
        } else if files[&module].children.contains(name) {
            module.push(name.clone());
        } else {
            let imported = files[&module].imports.get(name).filter(|_| module != from);
            return Some(imported.and_then(|import| resolve(files, &module, import)).unwrap_or(module));
        }
    }
    Some(module)
}

static GRAPH: LazyLock<Graph> = LazyLock::new(|| graph(&files(&sources())));

fn graph(files: &Files) -> Graph {
    let used = |(module, file): (&Module, &File)| {
        // `pub(super)` names a module and uses nothing of it.
        let is_visibility = |path: &&Module| path[0] == "crate" && module.starts_with(&path[1..]);
        let paths = file.paths.iter().filter(|path| !is_visibility(path));
        let targets = paths.filter_map(|path| resolve(files, module, path));
        (module.clone(), targets.filter(|target| target != module).collect())
    };
    files.iter().map(used).collect()
}

/// The groups of modules each of which uses all others of its group, directly or through others.
fn circles(graph: &Graph) -> BTreeSet<Vec<String>> {
    let reachable = |start: &Module| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![start]);
        while let Some(module) = waiting.pop() {
            for target in graph.get(module).into_iter().flatten() {
                if seen.insert(target) {
                    waiting.push(target);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&Module, BTreeSet<&Module>> = graph.keys().map(|module| (module, reachable(module))).collect();
    let circle = |module: &&Module| -> Vec<String> {
        let both = reach[*module].iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(module)));
        both.map(|module| format!("src/{}.rs", module.join("/"))).collect()
    };
    graph.keys().filter(|module| reach[*module].contains(module)).map(|module| circle(&module)).collect()
}

/// The part of the graph inside one folder of `src`.
fn inside(graph: &Graph, folder: &str) -> Graph {
    let is_inside = |module: &Module| module.first().is_some_and(|first| first == folder);
    let inner = |targets: &BTreeSet<Module>| targets.iter().filter(|target| is_inside(target)).cloned().collect();
    graph.iter().filter(|(module, _)| is_inside(module)).map(|(module, used)| (module.clone(), inner(used))).collect()
}

#[test]
fn files_do_not_use_each_other() {
    let all = circles(&GRAPH);
    println!("{} files, {} circles", GRAPH.len(), all.len());
    assert!(all.is_empty(), "{all:#?}");
}

/// A scheme uses the ground only, and the ground uses no scheme.
#[test]
fn auth_has_three_storeys() {
    let storey = |name: &str| usize::from(SCHEMES.contains(&name)) + 2 * usize::from(TOP.contains(&name));
    for (module, used) in inside(&GRAPH, "auth").iter().filter(|(module, _)| module.len() > 1) {
        for target in used {
            let (own, other) = (module[1].as_str(), target.get(1).map_or("", String::as_str));
            assert!(!other.is_empty(), "{module:?} uses src/auth.rs");
            let below = storey(own) > storey(other) || (storey(own) == storey(other) && storey(own) != 1);
            assert!(below || own == other, "{module:?} uses {target:?}");
        }
    }
}

#[test]
fn a_circle_would_be_seen() {
    let circles_of = |two: &str, other: &str| {
        let sources = [
            ("lib.rs", "mod hub; mod other;"),
            ("hub.rs", "mod one; mod two; pub use two::{self, Two as Second}; pub struct Own; #[cfg(test)] mod tests;"),
            ("hub/one.rs", "use super::Second; #[cfg(test)] use crate::other::Other;"),
            ("hub/two.rs", two),
            ("other.rs", other),
        ];
        circles(&graph(&files(&sources.map(|(name, text)| Source::new(name, text, false)))))
    };
    let in_order = ("use crate::other::Other;", "pub struct Other;");
    assert!(circles_of(in_order.0, in_order.1).is_empty());
    let three = BTreeSet::from([["src/hub/one.rs", "src/hub/two.rs", "src/other.rs"].map(str::to_owned).to_vec()]);
    for other in ["use crate::hub::one;", "fn f() { crate::hub::one::f() }", "use super::hub::{one::{f, g}};"] {
        assert_eq!(circles_of(in_order.0, other), three, "{other}");
    }
    assert_eq!(circles_of("use super::Own;", in_order.1).len(), 1);
}
