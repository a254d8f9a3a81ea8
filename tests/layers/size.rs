//! Files and functions stay small.

use syn::visit::{self, Visit};

use super::source::sources;

const MAX_FILE: usize = 420;
const MAX_FUNCTION: usize = 70;

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
    let mut all = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= MAX_FILE, "{} has {lines} lines: is it one job?", source.name);
        let functions = functions(&source.syntax(source.shipped())).into_iter();
        all.extend(functions.map(|(name, length)| (length, source.name.clone(), name)));
    }
    all.sort_unstable();
    let median = all[all.len() / 2].0;
    println!("{} functions, median {median} lines, the longest {:?}", all.len(), all[all.len() - 1]);
    assert!(median <= 12, "median {median}");
    let long: Vec<_> = all.iter().filter(|(length, ..)| *length > MAX_FUNCTION).collect();
    assert!(long.is_empty(), "functions of more than {MAX_FUNCTION} lines: {long:#?}");
}

#[test]
fn the_length_of_each_function_is_measured() {
    let text = "fn a() {}\nimpl S {\n    fn b(\n    ) -> T {\n        fn c() {\n        }\n    }\n}\n\
        trait U { fn d(); fn e() {\n} }\nconst F: fn() = a;";
    let expected = [("a", 1), ("b", 5), ("c", 2), ("e", 2)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions(&syn::parse_file(text).unwrap()), expected);
}
