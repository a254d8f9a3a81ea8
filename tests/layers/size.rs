//! Files and functions stay small.

use syn::visit::{self, Visit};

use super::source::sources;

const MAX_FILE: usize = 440;
const MAX_FUNCTION: usize = 70;

/// Longer functions, each by file and name, that are still to be divided.
const LONG: &[(&str, &str)] = &[("metrics.rs", "new")];

/// Name and lines of each function with a body, from `fn` to the brace that closes it.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (start, end) = (signature.fn_token.span.start().line, block.brace_token.span.close().end().line);
        self.0.push((signature.ident.to_string(), end - start + 1));
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn functions(file: &syn::File) -> Vec<(String, usize)> {
    let mut functions = Functions::default();
    functions.visit_file(file);
    functions.0
}

#[test]
fn files_and_functions_stay_small() {
    let (mut lengths, mut long) = (Vec::new(), Vec::new());
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= MAX_FILE, "{} has {lines} lines: is it one job?", source.name);
        for (name, length) in functions(&source.syntax(source.shipped())) {
            lengths.push(length);
            if length > MAX_FUNCTION && !LONG.contains(&(source.name.as_str(), name.as_str())) {
                long.push(format!("{}: {name} has {length} lines", source.name));
            }
        }
    }
    lengths.sort_unstable();
    let (median, longest) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
    println!("{} functions, median {median} lines, longest {longest}", lengths.len());
    assert!(long.is_empty(), "functions of more than {MAX_FUNCTION} lines: {long:#?}");
    assert!(median <= 12, "median {median}");
}

#[test]
fn the_length_of_each_function_is_measured() {
    let text = "fn a() {}\nimpl S {\n    fn b(\n    ) -> T {\n        fn c() {\n        }\n    }\n}\n\
        trait U { fn d(); fn e() {\n} }\nconst F: fn() = a;";
    let expected = [("a", 1), ("b", 5), ("c", 2), ("e", 2)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions(&syn::parse_file(text).unwrap()), expected);
}
