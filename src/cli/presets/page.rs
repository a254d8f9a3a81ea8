//! Generates docs/reference/presets.md from presets/*.yaml: a table with a row for each preset, and the configuration of each. A
//! test compares the result with the file.

use crate::auth::jwt::binding::HashPresence;
use crate::auth::locator::Locator;
use crate::config::file::preset::{ChallengeYaml, EvidenceKind, PresetParameterYaml, PresetYaml};
use crate::config::file::signature::{SignatureAlgorithmYaml, SignatureYaml, SignedTimeYaml};
use crate::config::file::{BodyHashYaml, JwtYaml, PlaceKey, TimeClaimYaml, TokenYaml};
use crate::config::presets;

const INTRODUCTION: &str = "\
# Presets

This page is generated from `presets/*.yaml` by `hookgate presets --markdown > docs/reference/presets.md`.

A preset is the [`signature`](configuration/signature.md), [`static_token`](configuration/authentication.md#routes.auth.static_token)
or [`jwt`](configuration/jwt.md) of one provider, taken from the provider's documentation and libraries. The other keys of
a preset are described under [`preset`](configuration/authentication.md#routes.auth.preset). `hookgate presets NAME` prints
a preset in full, with its sources and peculiarities.

- *Time*: the signed timestamp or the claim that limits the age of a request. Without one, a copied request never expires.
- *Replay id*: the signed value that distinguishes deliveries, used by [`replay_protection`](configuration/replay-protection.md).
  *hash*: there is no such value, and a hash of the signed content is used. *none*: several deliveries may carry the same
  credential or two events the same signed content, so that the upstream must recognise duplicates by an id in the payload.
- *Challenge*: an endpoint verification challenge that hookgate can answer, [if enabled](configuration/authentication.md#routes.auth.challenge).
- *Evidence*: what shows that the preset verifies the provider's own requests. *sdk*: a signed request from the tests of the
  provider's SDK, or one that the SDK signed or verified. *documents*: a signed request in the provider's documents. *receivers*:
  two public receivers that were written independently agree. *self*: only requests that this project signed by the documents;
  `check` warns of it.
- *Left unsigned*: the parts that an attacker who has copied a request can change. The upstream must not rely on them.

";

/// Providers that no preset can describe, listed so that readers find them.
const NOT_HERE: &str = "
## Not supported

These providers need code of their own, and a partial verification would be none. The upstream must verify their requests.

- Microsoft Bot Framework, Google Chat with a project number, OpenID Connect back-channel logout: their claim rules are not
  documented in a source that was read, or are about claims that must be absent.
- Microsoft Graph notifications with resource data: the payload is encrypted.
- Benchling: a rotating JWKS for a signature that is not a JWS. Alibaba EventBridge: the secret is sent encrypted.
- HTTP Message Signatures (RFC 9421), and Secure Webhook Tokens.

";

/// The page docs/reference/presets.md.
pub fn markdown() -> String {
    let columns =
        ["preset", "provider", "signed by", "time", "replay id", "challenge", "evidence", "left unsigned", "retries"];
    let mut page = INTRODUCTION.to_owned();
    page.push_str(&row(&columns.map(str::to_owned)));
    page.push_str(&row(&columns.map(|_| "---".to_owned())));
    for (name, preset) in presets::all() {
        page.push_str(&row(&cells(name, &preset)));
    }
    page.push_str(NOT_HERE);
    page.push_str("## Configuration\n\n");
    page.push_str("Each example is the `auth` of a route. Replace the words in capitals and example.com.\n");
    for (name, preset) in presets::all() {
        page.push_str(&section(name, &preset));
    }
    page
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn cells(name: &str, preset: &PresetYaml) -> [String; 9] {
    [
        format!("[{name}](#{name})"),
        preset.title.clone(),
        signed_by(preset),
        time(preset),
        replay_id(preset),
        or(challenges(preset), "no"),
        evidence(preset).to_owned(),
        preset.unsigned.clone(),
        preset.retries.clone(),
    ]
}

fn evidence(preset: &PresetYaml) -> &'static str {
    match preset.evidence() {
        EvidenceKind::Sdk => "sdk",
        EvidenceKind::Documents => "documents",
        EvidenceKind::Receivers => "receivers",
        EvidenceKind::Own => "self",
    }
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

fn signed_by(preset: &PresetYaml) -> String {
    if let Some(signature) = preset.signature.value() {
        let algorithm = signature.algorithm.value().map_or("", |file| algorithm(*file));
        return format!("{algorithm}, {}", signature_place(signature));
    }
    if let Some(token) = preset.static_token.value() {
        return format!("not signed: a static token, {}", place(&token.places()));
    }
    let Some(jwt) = preset.jwt.value() else { return String::new() };
    let algorithms = preset.issuer.value().into_iter().flat_map(|issuer| &**issuer.algorithms);
    let algorithms = algorithms.map(|algorithm| algorithm.text.as_str()).collect::<Vec<_>>().join(", ");
    let kind = match (preset.detached.is_some(), preset.x5c.is_some()) {
        (true, _) => "detached JWS",
        (false, true) => "JWT with its certificate chain",
        (false, false) => "JWT",
    };
    let place = jwt.token_from.value().map(|file| place(&file.places()));
    format!("{kind} ({algorithms}), {}", place.as_deref().unwrap_or("header `Authorization`"))
}

const fn algorithm(file: SignatureAlgorithmYaml) -> &'static str {
    match file {
        SignatureAlgorithmYaml::HmacSha1 => "HMAC-SHA1",
        SignatureAlgorithmYaml::HmacSha256 => "HMAC-SHA256",
        SignatureAlgorithmYaml::HmacSha384 => "HMAC-SHA384",
        SignatureAlgorithmYaml::HmacSha512 => "HMAC-SHA512",
        SignatureAlgorithmYaml::Sha256 => "plain SHA-256",
        SignatureAlgorithmYaml::Ed25519 => "Ed25519",
        SignatureAlgorithmYaml::EcdsaP256 => "ECDSA P-256",
        SignatureAlgorithmYaml::RsaSha1 => "RSA-SHA1",
        SignatureAlgorithmYaml::RsaSha256 => "RSA-SHA256",
        SignatureAlgorithmYaml::RsaSha512 => "RSA-SHA512",
    }
}

/// The location of the signature: one header, or the first and the last of several.
fn signature_place(file: &SignatureYaml) -> String {
    let headers = file.header.or_default();
    match &*headers {
        [] | [_] => place(&file.places()),
        [one, other] => format!("header `{one}` or `{other}`"),
        [first, .., last] => format!("headers `{first}` to `{last}`"),
    }
}

fn place(keys: &[PlaceKey<'_>]) -> String {
    keys.iter().find_map(|key| Some(Locator::describe(key.key, key.text?))).unwrap_or_default()
}

fn time(preset: &PresetYaml) -> String {
    let bounds = match (preset.signature.value(), preset.jwt.value()) {
        (Some(signature), _) => signature.timestamp.value().into_iter().map(signed_time).collect(),
        (None, Some(jwt)) => jwt_times(jwt),
        (None, None) => Vec::new(),
    };
    or(bounds.join("; "), "none")
}

fn signed_time(file: &SignedTimeYaml) -> String {
    let source = match file.part.value() {
        Some(part) => format!("`{part}` in the signature value"),
        None => place(&file.places()),
    };
    let back = &file.max_age.or_default().text;
    let window = match file.max_future.value().map(|ahead| &ahead.text) {
        Some(ahead) if ahead != back => format!("{back} back, {ahead} ahead"),
        Some(_) | None => format!("{back} either way"),
    };
    format!("{source}, {window}")
}

fn jwt_times(file: &JwtYaml) -> Vec<String> {
    let names = file.required_claims.iter().filter(|name| *name == "exp").map(|name| format!("`{name}`"));
    let age = file.max_age.value().map(|age| format!("`iat`, {} back", age.text));
    names.chain(age).chain(file.time_claim.value().map(claimed_time)).collect()
}

fn claimed_time(file: &TimeClaimYaml) -> String {
    let claim = file.claim.value().map_or("", |claim| &claim.text);
    format!("`{claim}`, {} back", file.max_age.or_default().text)
}

/// The replay id. A JWT without `jti` that is not bound to the body may come with several deliveries.
pub(in crate::cli) fn replay_id(preset: &PresetYaml) -> String {
    if let Some(signature) = preset.signature.value() {
        let hash = if preset.repeats.is_some() { "none" } else { "hash" };
        return signature.id.value().map_or_else(|| hash.to_owned(), |id| format!("`{}`", id.text));
    }
    let Some(jwt) = preset.jwt.value() else { return "none".to_owned() };
    let has_id = jwt.required_claims.iter().any(|name| name == "jti");
    match (has_id, preset.detached.is_some() || binds_body(jwt)) {
        (true, _) => "`jti`".to_owned(),
        (false, true) => "hash".to_owned(),
        (false, false) => "none".to_owned(),
    }
}

fn binds_body(jwt: &JwtYaml) -> bool {
    let in_body = |token: &TokenYaml| {
        let places = token.places().into_iter().filter_map(|key| Locator::parse(key.key, key.text?));
        places.into_iter().any(|locator| locator.is_in_body())
    };
    let hashed = |hash: &BodyHashYaml| hash.presence.or_default() != HashPresence::Optional;
    jwt.token_from.value().is_some_and(in_body) || jwt.body_hash.value().is_some_and(hashed)
}

fn challenges(preset: &PresetYaml) -> String {
    let questions: Vec<String> = preset.challenge.iter().map(question).collect();
    questions.join("; ")
}

fn question(file: &ChallengeYaml) -> String {
    match (file.signed.get(), file.shows_token()) {
        (true, _) => format!("{}, signed", file.method),
        (false, true) => format!("{} with a token", file.method),
        (false, false) => file.method.clone(),
    }
}

fn section(name: &str, preset: &PresetYaml) -> String {
    let mut section = format!("\n### {name}\n\n```yaml\nauth:\n  preset: {name}\n");
    section.push_str(&secret(name, preset));
    section.push_str(&parameters(preset));
    section.push_str(&challenge(name, preset));
    if signs_url(preset) {
        section.push_str("public_url: https://hooks.example.com\n");
    }
    section.push_str("```\n\n");
    for note in notes(preset) {
        section.push_str(&format!("- {note}\n"));
    }
    section
}

/// The secret or key of the example; commented out if the preset has a JWKS URL, since a key of one's own is optional
/// there.
fn secret(name: &str, preset: &PresetYaml) -> String {
    let Some((key, what)) = key_of(preset) else { return String::new() };
    let id = if has_key_id(preset) { ", id: KEY_ID" } else { "" };
    let off = if preset.has_jwks() { "# " } else { "" };
    format!("  # {what}\n  {off}{key}: {{ file: secrets/{name}{id} }}\n")
}

/// The key of `auth` under which the operator gives the secret or public key, and its description; `None` if the preset
/// takes none.
pub(in crate::cli) fn key_of(preset: &PresetYaml) -> Option<(&'static str, &str)> {
    let secret = preset.secret.as_ref().map(|secret| ("secret", secret.what.as_str()));
    let keys = [("public_key", &preset.public_key), ("root_ca", &preset.root_ca), ("jwks", &preset.jwks)];
    secret.or_else(|| keys.into_iter().find_map(|(name, key)| Some((name, key.as_ref()?.what.as_str()))))
}

/// Whether a signature names its secret by a key id.
pub(in crate::cli) fn has_key_id(preset: &PresetYaml) -> bool {
    preset.signature.value().is_some_and(|signature| signature.key_id.is_written())
}

fn parameters(preset: &PresetYaml) -> String {
    if preset.parameters.is_empty() {
        return String::new();
    }
    let needed = preset.parameters.values().any(|parameter| parameter.default.is_none());
    let head = if needed { "  parameters:\n" } else { "  # parameters:\n" };
    preset.parameters.iter().fold(head.to_owned(), |lines, (name, about)| lines + &parameter(name, about, needed))
}

fn parameter(name: &str, about: &PresetParameterYaml, beside_needed: bool) -> String {
    let indent = if beside_needed { "    " } else { "  #   " };
    let off = if beside_needed { "# " } else { "" };
    match &about.default {
        Some(default) => format!("{indent}# {}; {default} if absent\n{indent}{off}{name}: {default}\n", about.what),
        None => format!("{indent}# {}\n{indent}{name}: {}\n", about.what, example(name)),
    }
}

pub(in crate::cli) fn example(parameter: &str) -> String {
    if parameter.ends_with("url") { "https://example.com".to_owned() } else { parameter.to_uppercase() }
}

fn challenge(name: &str, preset: &PresetYaml) -> String {
    let questions = &preset.challenge;
    let switch = match (questions.is_empty(), questions.iter().any(ChallengeYaml::shows_token)) {
        (true, _) => return String::new(),
        (false, true) => format!("{{ token: {{ file: secrets/{name}-token }} }}"),
        (false, false) => "true".to_owned(),
    };
    format!("  # to answer the provider's endpoint verification challenge\n  # challenge: {switch}\n")
}

fn notes(preset: &PresetYaml) -> Vec<String> {
    let url = "The URL is signed: [`public_url`](configuration/routes.md#routes.public_url) must be the URL registered at \
               the provider.";
    let size = |size: &String| format!("Bodies of up to {size}: raise `limits.max_body_size`.");
    let url = signs_url(preset).then(|| url.to_owned());
    let aliases = (!preset.aliases.is_empty()).then(|| format!("Other names: `{}`", preset.aliases.join("`, `")));
    let repeats = preset.repeats.as_ref().map(|why| format!("No replay id: {why}."));
    let evidence = preset.evidence.as_ref().filter(|evidence| !evidence.source.is_empty());
    let evidence = evidence.map(|evidence| format!("Evidence: {}", evidence.source.join(", ")));
    let sources = format!("Sources: {}", preset.source.join(", "));
    let sources = std::iter::once(sources).chain(evidence);
    aliases.into_iter().chain(url).chain(preset.largest_body.iter().map(size)).chain(repeats).chain(sources).collect()
}

pub(in crate::cli) fn signs_url(preset: &PresetYaml) -> bool {
    let signed = preset.signature.value().into_iter().flat_map(|signature| &**signature.signed_payload);
    let claimed = preset.jwt.value().is_some_and(|jwt| jwt.url.is_written() || jwt.url_hash.is_written());
    claimed || signed.into_iter().any(|piece| piece.text == "url" || piece.text == "url.decoded")
}
