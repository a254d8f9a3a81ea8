//! The paths that code names, in `use`, in expressions and types, and in macros.

use std::iter::Peekable;

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream::IntoIter};

type Tokens = Peekable<IntoIter>;

/// Each path of this code as its segments, with the groups of `use` written out. `self` and `super` are resolved
/// against `module`, the path of the module that contains the code: `super::b` in `a` is `crate::b`.
pub fn paths(module: &[&str], code: TokenStream) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let module: Vec<String> = module.iter().map(ToString::to_string).collect();
    collect(&module, &[], code, &mut found);
    found
}

/// `prefix` is the part of the path that stands before a group of `use`.
fn collect(module: &[String], prefix: &[String], code: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut tokens: Tokens = code.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => collect(module, &[], group.stream(), found),
            TokenTree::Ident(word) if word == "as" => drop(tokens.next()),
            TokenTree::Ident(word) if word == "mod" => inline_module(module, &mut tokens, found),
            TokenTree::Ident(word) => path(module, [prefix, &[word.to_string()]].concat(), &mut tokens, found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn inline_module(module: &[String], tokens: &mut Tokens, found: &mut Vec<Vec<String>>) {
    let name = tokens.next().map(|name| name.to_string()).unwrap_or_default();
    if let Some(TokenTree::Group(group)) = tokens.next_if(|next| matches!(next, TokenTree::Group(_))) {
        collect(&[module, &[name]].concat(), &[], group.stream(), found);
    }
}

/// Follows a path from its first segment to its last, or into the group that ends it.
fn path(module: &[String], mut segments: Vec<String>, tokens: &mut Tokens, found: &mut Vec<Vec<String>>) {
    while tokens.next_if(|next| next.to_string() == ":").is_some() {
        if tokens.next_if(|next| next.to_string() == ":").is_none() {
            break;
        }
        match tokens.peek() {
            Some(TokenTree::Ident(word)) => segments.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                collect(module, &segments, group.stream(), found);
                tokens.next();
                return;
            }
            _ => break,
        }
        tokens.next();
    }
    found.push(resolved(module, segments));
}

fn resolved(module: &[String], segments: Vec<String>) -> Vec<String> {
    let mut place = match segments[0].as_str() {
        "self" | "super" => module.to_vec(),
        _ => return segments,
    };
    let relative = segments.iter().take_while(|word| ["self", "super"].contains(&word.as_str()));
    let ups = relative.clone().filter(|word| *word == "super").count();
    place.truncate(place.len().saturating_sub(ups));
    [&["crate".to_owned()], place.as_slice(), &segments[relative.count()..]].concat()
}

#[test]
fn paths_are_found_in_groups_and_from_the_own_module() {
    for (code, expected) in [
        ("use crate::{a::{b, c::d}, e};", "crate::a::b crate::a::c::d crate::e"),
        ("use super::{super::x, y as z};", "crate::x crate::m::y"),
        ("fn f() { super::super::x::g(self::h) }", "crate::x::g crate::m::n::h"),
        ("mod inline { use super::y; use super::super::z; } mod file;", "crate::m::n::y crate::m::z"),
        ("f!(\"crate::a\", crate::b::C); // crate::d", "crate::b::C"),
        ("const A: u8 = 1; let b: crate::c::D = e::<crate::f::G>();", "crate::c::D crate::f::G"),
        ("use std::{fs, net::IpAddr};", "std::fs std::net::IpAddr"),
    ] {
        let found = paths(&["m", "n"], code.parse().unwrap());
        let found: Vec<String> = found.iter().filter(|path| path.len() > 1).map(|path| path.join("::")).collect();
        assert_eq!(found.join(" "), expected, "{code}");
    }
}
