//! The imports between the source files of the crate: which file uses items of which other one, and that no files use
//! each other in a circle. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

/// The folders of `src` without circles.
const WITHOUT_CIRCLES: &[&str] = &["auth"];

/// The middle storey of `auth`, whose modules do not use each other.
const SCHEMES: &[&str] = &["certificate_rule", "detached", "jwt", "signature", "static_token"];

/// The top storey of `auth`; every other module is on the ground.
const TOP: &[&str] = &["challenge", "policy", "replay_protection", "revocation", "rules"];

/// A module's path, such as `["auth", "keys"]`; empty for lib.rs.
type Module = Vec<String>;

/// For each module the modules whose items it uses.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// A source file without comments, literals and tests.
#[derive(Default)]
struct Source {
    children: BTreeSet<String>,
    /// The names that its `use` lines bring in, with their paths.
    imports: BTreeMap<String, Module>,
    /// Every path in it, those of the `use` lines included.
    paths: Vec<Module>,
}

impl Source {
    fn parse(text: &str) -> Self {
        let tokens = tokens(&without_literals(text));
        let tokens = without_tests(&tokens);
        let mut source = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let after = |offset: usize| tokens.get(at + offset).map_or("", String::as_str);
            if token == "mod" && after(2) == ";" {
                source.children.insert(after(1).to_owned());
            }
            if token == "use" {
                let end = at + tokens.iter().skip(at).position(|token| token == ";").unwrap();
                let mut leaves = Vec::new();
                expand(&mut tokens[at + 1..end].iter().map(String::as_str).peekable(), &[], &mut leaves);
                for (path, name) in leaves {
                    source.paths.push(path.clone());
                    source.imports.insert(name, path);
                }
                at = end;
            } else if is_name(token) && (at == 0 || !["::", "."].contains(&tokens[at - 1].as_str())) {
                let mut path = vec![token.clone()];
                while tokens.get(at + 1).is_some_and(|token| token == "::")
                    && tokens.get(at + 2).is_some_and(|token| is_name(token))
                {
                    at += 2;
                    path.push(tokens[at].clone());
                }
                source.paths.push(path);
            }
            at += 1;
        }
        source.paths.retain(|path| path.len() > 1);
        source
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// The paths of a use tree, each with the name that it brings in.
fn expand<'t>(
    tokens: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
    prefix: &[String],
    leaves: &mut Vec<(Module, String)>,
) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.next() {
        match token {
            "{" => {
                while tokens.peek().is_some_and(|token| *token != "}") {
                    expand(tokens, &path, leaves);
                }
                tokens.next();
                tokens.next_if_eq(&",");
                return;
            }
            "as" => {
                let name = tokens.next().unwrap().to_owned();
                tokens.next_if_eq(&",");
                return leaves.push((path, name));
            }
            "," => break,
            "::" | "*" => {}
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        if tokens.peek() == Some(&"}") {
            break;
        }
    }
    let name = path.last().unwrap().clone();
    leaves.push((path, name));
}

/// The text without comments and without the contents of strings and characters.
fn without_literals(text: &str) -> String {
    let literal = concat!(
        r"//[^\n]*",
        r#"|\bb?r"[^"]*""#,
        r##"|\bb?r#"(?s:.*?)"#"##,
        r#"|b?"(?:[^"\\]|\\(?s:.))*""#,
        r"|b?'(?:[^'\\\n]|\\[^\n]+?)'",
    );
    regex::Regex::new(literal).unwrap().replace_all(text, " ").into_owned()
}

fn tokens(code: &str) -> Vec<String> {
    let token = regex::Regex::new("[A-Za-z_][A-Za-z0-9_]*|::|[^ \n]").unwrap();
    token.find_iter(code).map(|token| token.as_str().to_owned()).collect()
}

/// The tokens without the items after `#[cfg(test)]`: each ends with its `;` or its closing brace.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().take(mark.len()).eq(mark) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        at += mark.len();
        while at < tokens.len() {
            depth += i32::from(["{", "(", "["].contains(&tokens[at].as_str()));
            depth -= i32::from(["}", ")", "]"].contains(&tokens[at].as_str()));
            at += 1;
            if depth == 0 && [";", "}"].contains(&tokens[at - 1].as_str()) {
                break;
            }
        }
    }
    kept
}

/// Every module of the library that is part of the program, by following the `mod` lines from lib.rs.
fn sources() -> BTreeMap<Module, Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut waiting) = (BTreeMap::new(), vec![Module::new()]);
    while let Some(module) = waiting.pop() {
        let file = if module.is_empty() { "lib".to_owned() } else { module.join("/") };
        let source = Source::parse(&std::fs::read_to_string(src.join(format!("{file}.rs"))).unwrap());
        waiting.extend(source.children.iter().map(|child| [module.as_slice(), &[child.clone()]].concat()));
        found.insert(module, source);
    }
    found
}

/// The module whose file declares the item at `path`, as written in `from`, re-exports followed; `None` for other crates
/// and local names.
fn resolve(sources: &BTreeMap<Module, Source>, from: &[String], path: &[String]) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut module = match first.as_str() {
        "crate" => Module::new(),
        "self" => from.to_vec(),
        "super" => from.split_last()?.1.to_vec(),
        child if sources[from].children.contains(child) => {
            rest = path;
            from.to_vec()
        }
        name => {
            let import = sources[from].imports.get(name).filter(|import| import[0] != name)?;
            return resolve(sources, from, &[import, rest].concat());
        }
    };
    for name in rest {
        if name == "super" {
            module.pop();
        } else if sources[&module].children.contains(name) {
            module.push(name.clone());
        } else {
            let imported = sources[&module].imports.get(name).filter(|_| module != from);
            return Some(imported.and_then(|import| resolve(sources, &module, import)).unwrap_or(module));
        }
    }
    Some(module)
}

static GRAPH: LazyLock<Graph> = LazyLock::new(|| graph(&sources()));

fn graph(sources: &BTreeMap<Module, Source>) -> Graph {
    let used = |(module, source): (&Module, &Source)| {
        let targets = source.paths.iter().filter_map(|path| resolve(sources, module, path));
        (module.clone(), targets.filter(|target| target != module).collect())
    };
    sources.iter().map(used).collect()
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
    println!("{} files, {} circles: {all:#?}", GRAPH.len(), all.len());
    for folder in WITHOUT_CIRCLES {
        let circles = circles(&inside(&GRAPH, folder));
        assert!(circles.is_empty(), "{folder}: {circles:#?}");
    }
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
fn uses_are_found_in_each_form() {
    let source = Source::parse(
        r#"
        mod child;
        pub use child::{Item, deep::{self, Other as Renamed}};
        use super::Name; // use super::Comment;
        fn f<'a>() -> &'a str { crate::a::call('"', "use super::Text;"); child::run() }
        #[cfg(test)]
        #[derive(Debug)]
        mod tests { use super::Test; }
        #[cfg(test)]
        use super::Other;
        use super::Last;
        "#,
    );
    let paths: Vec<String> = source.paths.iter().map(|path| path.join("::")).collect();
    let expected = [
        "child::Item",
        "child::deep",
        "child::deep::Other",
        "super::Name",
        "crate::a::call",
        "child::run",
        "super::Last",
    ];
    assert_eq!(paths, expected);
    assert_eq!(source.imports.keys().collect::<Vec<_>>(), ["Item", "Last", "Name", "Renamed", "deep"]);
}

#[test]
fn a_circle_would_be_seen() {
    let files = [
        ("", "mod hub; mod other;"),
        ("hub", "mod one; mod two; pub use two::Two; pub struct Own;"),
        ("hub/one", "use super::Two;"),
        ("hub/two", "use crate::other::Other;"),
        ("other", "use crate::hub::one;"),
    ];
    let module =
        |path: &str| -> Module { path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect() };
    let mut sources: BTreeMap<_, _> = files.iter().map(|(path, text)| (module(path), Source::parse(text))).collect();
    let found = circles(&graph(&sources));
    assert_eq!(found, BTreeSet::from([vec!["src/hub/one.rs".into(), "src/hub/two.rs".into(), "src/other.rs".into()]]));
    sources.insert(module("other"), Source::parse("pub struct Other;"));
    assert!(circles(&graph(&sources)).is_empty());
    sources.insert(module("hub/two"), Source::parse("use super::Own;"));
    assert_eq!(circles(&graph(&sources)).len(), 1);
}
