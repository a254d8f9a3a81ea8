//! A type's name has one meaning in the whole crate.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use super::source::sources;

/// Names that several types may have, each with the reason.
const SHARED: &[(&str, &str)] =
    &[("StoreFile", "`store` of gateway.yaml, and the file of the embedded store; the latter gets another name")];

/// The names of structs, enums, unions, traits and aliases; not the associated types of traits and their
/// implementations.
#[derive(Default)]
struct Types(Vec<String>);

impl<'a> Visit<'a> for Types {
    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_union(&mut self, item: &'a syn::ItemUnion) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.0.push(item.ident.to_string());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'a syn::ItemType) {
        self.0.push(item.ident.to_string());
    }
}

fn types(file: &syn::File) -> Vec<String> {
    let mut types = Types::default();
    types.visit_file(file);
    types.0
}

#[test]
fn a_type_name_has_one_meaning() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in types(&source.syntax(source.tokens.clone())) {
            places.entry(name).or_default().push(source.name.clone());
        }
    }
    let total = places.len();
    places.retain(|_, files| files.len() > 1);
    println!("{total} type names, {} of them with several meanings", places.len());
    let unlisted: Vec<_> = places.iter().filter(|(name, _)| !SHARED.iter().any(|(shared, _)| shared == name)).collect();
    assert!(unlisted.is_empty(), "declared more than once: {unlisted:#?}");
    assert!(SHARED.iter().all(|(name, _)| places.contains_key(*name)), "no longer shared");
    assert!(places.len() < 5, "{}", places.len());
}

#[test]
fn each_declaration_of_a_type_is_counted() {
    let text = "struct A; mod m { enum B {} trait C { type D; fn f() { struct E; } } type F = u8; }\n\
        impl C for A { type D = u8; fn f() { enum A {} } } union G { a: u8 }";
    assert_eq!(types(&syn::parse_file(text).unwrap()), ["A", "B", "C", "E", "F", "A", "G"]);
}
