//! Hints about tokens: one that is not in its place or in another form, a signature that does not verify, and the header
//! of an AWS load balancer.

use std::borrow::Cow;

use super::super::token::{self, BEGIN};
use super::super::trial::Trial;
use crate::auth::locator::{Locator, Scheme};
use crate::auth::{Policy, Reason};

/// The header in which an AWS application load balancer sends the claims of a user.
const OF_LOAD_BALANCER: &str = "x-amzn-oidc-data";

/// Reasons for which the form of the token is looked at.
const OF_FORM: &[Reason] =
    &[Reason::MissingCredential, Reason::MalformedCredential, Reason::MalformedToken, Reason::MultipleCredentials];

pub(super) fn find(trial: &Trial<'_>, reason: Reason) -> Option<String> {
    let (view, leaves) = (trial.view(), trial.route.rules.policy.leaves());
    let takes_token = |leaf: &&Policy| matches!(leaf, Policy::Jwt(_) | Policy::Detached(_));
    let mut places = leaves.into_iter().filter(takes_token).flat_map(Policy::places).peekable();
    let first = *places.peek()?;
    let is_of_form = OF_FORM.contains(&reason);
    if is_of_form && trial.captured.head.headers.contains_key(OF_LOAD_BALANCER) {
        return Some(format!(
            "{OF_LOAD_BALANCER} of an AWS application load balancer is not supported: its parts are padded base64, and its \
             keys have no JWKS. Verify x-amzn-oidc-accesstoken with the JWKS of the identity provider; see docs/issuers.md"
        ));
    }
    if is_of_form {
        return of_form(trial, first).or_else(|| elsewhere(trial, first));
    }
    if reason != Reason::InvalidSignature || !places.any(|place| place.find_token(&view).is_ok()) {
        return None;
    }
    Some(
        "the key that the token names does not verify it: the token was changed, or another issuer or environment has a key \
         of the same kid; compare `iss` and `kid` of the token with the issuer's JWKS"
            .to_owned(),
    )
}

/// The form of a token in its header.
fn of_form(trial: &Trial<'_>, place: &Locator) -> Option<String> {
    let Locator::Header { name, scheme } = place else { return None };
    let mut values = trial.captured.head.headers.get_all(name).iter();
    let value = String::from_utf8_lossy(values.next()?.as_bytes()).into_owned();
    if values.next().is_some() {
        return Some(format!(
            "the header {name} occurs more than once: a client or a proxy adds it again; send it once"
        ));
    }
    let scheme = match scheme {
        Some(Scheme::Word(word)) => word.as_str(),
        Some(Scheme::Parameter(_)) | None => "",
    };
    let written = if scheme.is_empty() { format!("{name}: TOKEN") } else { format!("{name}: {scheme} TOKEN") };
    let wrong = |what: &str| Some(format!("the header {name} has {what}: send `{written}`"));
    let (first, rest) = value.split_once(' ').unwrap_or((&value, ""));
    let rest = rest.trim_start_matches(' ');
    if scheme.is_empty() {
        let first = first.trim_end_matches(':');
        if rest.starts_with(BEGIN) {
            return wrong(&format!("the scheme {first} before the token, which the route does not expect"));
        }
        return of_text(&value).and_then(|what| wrong(&what));
    }
    if first.eq_ignore_ascii_case(scheme) {
        if rest.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(scheme)) {
            return wrong(&format!("the scheme {scheme} twice"));
        }
        return of_text(rest).and_then(|what| wrong(&what));
    }
    let is_scheme = |text: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    match first {
        _ if value.starts_with(BEGIN) => wrong(&format!("the token without the scheme `{scheme} ` before it")),
        _ if value.starts_with(['"', '\'']) => wrong("quotes around its value"),
        _ if is_scheme(first) => wrong(&format!("no space between the scheme {scheme} and the token, or another sign")),
        _ if token::within(&value).is_some() => {
            wrong(&format!("the scheme {}, not {scheme}", first.trim_end_matches(':')))
        }
        "Basic" => wrong("the scheme Basic, a name and a password, and no token"),
        _ => None,
    }
}

/// The defect of the text in the place of a token.
fn of_text(text: &str) -> Option<String> {
    let found: Cow<'_, str> = match text {
        "" => "no token: an empty variable?".into(),
        "null" | "undefined" | "None" | "nil" | "[object Object]" => format!("the word {text} instead of a token").into(),
        _ if text.starts_with(['"', '\'', '\u{201c}', '\u{2018}', '`']) => "quotes around the token".into(),
        _ if text.starts_with(['$', '{', '<']) => "a placeholder instead of a token: the variable was not replaced".into(),
        _ if text.contains("%0A") || text.contains("%0D") || text.contains("\\n") => {
            "an encoded line break in the token: it was read from a file with its last newline".into()
        }
        _ if text.contains(',') => "a comma: two values in one header".into(),
        _ if text.trim() != text || text.contains(char::is_whitespace) => {
            "white space in or after the token: it was copied or wrapped over two lines".into()
        }
        _ if !text.is_ascii() => "a letter that is not ASCII".into(),
        _ => match text.matches('.').count() {
            0 => "an opaque token, not a JWT, which only its issuer can look up: request a JWT access token (in Auth0 with \
                  an `audience`, in Okta from a custom authorization server, in Keycloak without lightweight tokens)"
                .into(),
            4 => "an encrypted token (JWE, five parts), which only its audience can read: request a signed one".into(),
            2 => return None,
            1 => "a token of two parts, without its signature: it was cut off".into(),
            _ => "more dots than a JWT has".into(),
        },
    };
    Some(found.into_owned())
}

/// A token in another place than the configured one.
fn elsewhere(trial: &Trial<'_>, place: &Locator) -> Option<String> {
    let head = &trial.captured.head;
    let configured = place.header();
    let in_header = head.headers.iter().find(|(name, value)| {
        Some(*name) != configured && token::within(&String::from_utf8_lossy(value.as_bytes())).is_some()
    });
    let query = head.uri.query().unwrap_or_default();
    let in_query = query.split('&').find(|pair| token::within(pair).is_some()).and_then(|pair| pair.split('=').next());
    let body = String::from_utf8_lossy(&trial.captured.body);
    let found = in_header
        .map(|(name, _)| format!("the header {name}"))
        .or_else(|| in_query.map(|name| format!("the query parameter {name}")))
        .or_else(|| token::within(&body).map(|_| "the body".to_owned()))?;
    Some(format!("there is a token in {found}, and the route reads the {place}: send it there, or set token_from"))
}
