//! The files of `src` as tokens and syntax trees, with and without the code under `#[cfg(test)]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::{Item, ItemMod};

/// One file of `src`.
pub struct Source {
    /// From `src`, as `auth/keys/jwk.rs`.
    pub name: String,
    pub text: String,
    /// All tokens of the file. Comments are no tokens.
    pub tokens: TokenStream,
    /// Whether the file is compiled for tests only: its `mod`, or one above, stands under `#[cfg(test)]`.
    pub is_test: bool,
}

impl Source {
    pub fn new(name: &str, text: &str, is_test: bool) -> Self {
        let tokens = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text: text.to_owned(), tokens, is_test }
    }

    /// The top-level module: `auth` for `auth/keys/jwk.rs`.
    pub fn module(&self) -> &str {
        self.name.trim_end_matches(".rs").split('/').next().unwrap()
    }

    /// The path of the module in the crate: `auth`, `keys`, `jwk`; empty for the root.
    pub fn path(&self) -> Vec<&str> {
        let segments = self.name.trim_end_matches(".rs").split('/');
        segments.filter(|segment| !["lib", "main"].contains(segment)).collect()
    }

    /// The tokens that are compiled without tests; none of a file of tests.
    pub fn shipped(&self) -> TokenStream {
        if self.is_test { TokenStream::new() } else { without_tests(self.tokens.clone()) }
    }

    /// The syntax tree of these tokens of the file.
    pub fn syntax(&self, tokens: TokenStream) -> syn::File {
        syn::parse2(tokens).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Each file that `lib.rs` or `main.rs` declares, by itself or through others.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![("main.rs".to_owned(), false), ("lib.rs".to_owned(), false)];
    while let Some((name, is_test)) = waiting.pop() {
        let text = std::fs::read_to_string(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let source = Source::new(&name, &text, is_test);
        for (child, test_child) in declared(&source.syntax(source.tokens.clone())) {
            let path = source.path().into_iter().chain([child.as_str()]).collect::<Vec<_>>().join("/");
            waiting.push((format!("{path}.rs"), is_test || test_child));
        }
        found.push(source);
    }
    found
}

/// The modules that a file declares as files of their own, and whether each is for tests only.
fn declared(file: &syn::File) -> BTreeMap<String, bool> {
    let modules = file.items.iter().filter_map(|item| match item {
        Item::Mod(module @ ItemMod { content: None, .. }) => Some(module),
        _ => None,
    });
    modules.map(|module| (module.ident.to_string(), module.attrs.iter().any(is_test_attribute))).collect()
}

fn is_test_attribute(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
}

/// Tokens without each item, field and statement that stands under `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut attributes = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_attribute = token.to_string() == "#" && matches!(tokens.peek(), Some(TokenTree::Group(_)));
        if is_attribute {
            attributes.extend([Some(token), tokens.next()].into_iter().flatten());
        } else if attributes.iter().any(|attribute| attribute.to_string() == "[cfg (test)]") {
            attributes.clear();
            skip_item(&mut std::iter::once(token).chain(&mut tokens));
        } else {
            kept.append(&mut attributes);
            kept.push(match token {
                TokenTree::Group(group) => {
                    let mut inner = Group::new(group.delimiter(), without_tests(group.stream()));
                    inner.set_span(group.span());
                    TokenTree::Group(inner)
                }
                other => other,
            });
        }
    }
    kept.into_iter().chain(attributes).collect()
}

/// Takes the tokens up to the end of an item, a field or a statement: a semicolon, a comma outside of generic
/// arguments, or a block, which is no group of `use`.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    let mut depth = 0;
    let mut last = ' ';
    for token in tokens {
        last = match &token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && last != ':' => return,
            TokenTree::Punct(mark) => mark.as_char(),
            _ => ' ',
        };
        match (last, depth) {
            (';', _) | (',', 0) => return,
            ('<', _) => depth += 1,
            ('>', 1..) => depth -= 1,
            _ => {}
        }
    }
}

/// Each `.rs` file in `src`, from there.
fn on_disk() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let names = found.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string());
    names.filter(|name| name.ends_with(".rs")).collect()
}

#[test]
fn each_file_is_read_once() {
    let mut read: Vec<String> = sources().into_iter().map(|source| source.name).collect();
    let unread: Vec<String> = on_disk().into_iter().filter(|file| !read.contains(file)).collect();
    assert!(unread.is_empty(), "no `mod` declares {unread:?}");
    let count = read.len();
    read.sort();
    read.dedup();
    assert_eq!(read.len(), count);
}

#[test]
fn code_for_tests_is_left_out_and_nothing_else() {
    let code = |text: &str| without_tests(text.parse().unwrap()).to_string();
    for (text, expected) in [
        ("#[cfg(test)] mod testing; fn f() {}", "fn f() {}"),
        ("fn f() {} #[cfg(test)] #[rustfmt::skip] mod tests { fn g() {} } fn h() {}", "fn f() {} fn h() {}"),
        ("#[cfg(test)] pub(crate) fn f<A, B>(a: A, b: B) -> A { a } fn g() {}", "fn g() {}"),
        ("#[cfg(test)] use a::{b, c}; use d;", "use d;"),
        ("struct S { #[cfg(test)] a: BTreeMap<u8, u8>, b: u8 }", "struct S { b: u8 }"),
        ("struct S { /** B */ b: u8, /** A */ #[cfg(test)] #[serde(skip)] a: u8 }", "struct S { /** B */ b: u8, }"),
        ("fn f() { #[cfg(test)] if a { b } c }", "fn f() { c }"),
        ("impl S { #[cfg(test)] fn f() {} fn g() {} }", "impl S { fn g() {} }"),
        ("/* #[cfg(test)] */ fn f() { g(\"#[cfg(test)]\") } // #[cfg(test)]", "fn f() { g(\"#[cfg(test)]\") }"),
        ("#[cfg(not(test))] fn f() {}", "#[cfg(not(test))] fn f() {}"),
    ] {
        assert_eq!(code(text), expected.parse::<TokenStream>().unwrap().to_string(), "{text}");
    }
}

#[test]
fn files_of_tests_are_recognized_by_their_declaration() {
    let sources = sources();
    let is_test = |name: &str| sources.iter().find(|source| source.name == name).unwrap().is_test;
    assert!(["auth/testing.rs", "auth/jwt/tests.rs", "auth/jwt/tests/claims.rs"].into_iter().all(is_test));
    assert!(!["lib.rs", "auth.rs", "auth/jwt.rs"].into_iter().any(is_test));
    let auth = sources.iter().find(|source| source.name == "auth.rs").unwrap();
    assert!(
        auth.syntax(auth.shipped())
            .items
            .iter()
            .any(|item| matches!(item, Item::Fn(function) if function.sig.ident == "verify"))
    );
}
