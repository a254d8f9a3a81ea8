//! The rules of a route that a token breaks, one function for each group.

use serde_json::Value;

use super::decoded::{Decoded, Mismatch, distance, seconds, shown};
use crate::auth::Policy;
use crate::auth::claims::{ClaimRule, ClaimTest};
use crate::auth::issuer::{Issuer, IssuerClaim, PATH_TENANT};
use crate::auth::jwt::{Audience, JwtPolicy};
use crate::auth::keys::{Algorithm, Keys};
use crate::cli::explain::trial::Trial;
use crate::clock::UnixTime;
use crate::config::Config;

/// Number of key IDs and of audiences that are listed.
const MAX_LISTED: usize = 12;

/// The largest time in milliseconds that is taken for one: the year 2100.
const MAX_MILLISECONDS: f64 = 4_102_444_800_000.0;

/// Claims that only an ID token has (OpenID Connect Core 1.0 §2 and §3.1.3.6).
const OF_ID_TOKEN: &[&str] = &["nonce", "at_hash", "c_hash", "auth_time"];

fn text(value: &str) -> String {
    shown(&Value::from(value))
}

fn list(names: &[&str]) -> String {
    let more = names.len().saturating_sub(MAX_LISTED);
    let mut listed: Vec<String> = names.iter().take(MAX_LISTED).map(|name| text(name)).collect();
    listed.extend((more > 0).then(|| format!("{more} more")));
    if listed.is_empty() { "none".to_owned() } else { listed.join(" or ") }
}

/// How two texts differ that were meant to be the same.
fn slip(expected: &str, seen: &str) -> Option<String> {
    let is = |differs: bool, how: &str| differs.then(|| how.to_owned());
    let unquoted = seen.trim().trim_matches(['"', '\'']);
    let scheme = |url: &str| url.trim_start_matches("https://").trim_start_matches("http://").to_owned();
    let slash = |text: &str| text.trim_end_matches('/').to_owned();
    is(format!("{expected}/") == seen, "it has a final slash, which the configuration has not")
        .or_else(|| is(format!("{seen}/") == expected, "it lacks the final slash of the configuration"))
        .or_else(|| is(seen.trim() == expected, "it has white space around it"))
        .or_else(|| is(unquoted == expected, "it has quotes around it"))
        .or_else(|| is(expected.trim() == seen, "the configuration has white space around it"))
        .or_else(|| is(seen.eq_ignore_ascii_case(expected), "only the case of letters differs"))
        .or_else(|| is(scheme(seen) == scheme(expected), "only the scheme, http or https, differs"))
        .or_else(|| is(slash(&scheme(seen)) == slash(&scheme(expected)), "only the scheme and a final slash differ"))
}

/// `typ`, `alg` and `kid`.
pub(super) fn of_header(config: &Config, trial: &Trial<'_>, policy: &JwtPolicy, token: &Decoded) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let bare = |typ: &str| typ.to_ascii_lowercase().trim_start_matches("application/").to_owned();
    if let Some(typ) = token.header.get("typ").and_then(Value::as_str)
        && !policy.allowed_types.iter().any(|allowed| bare(allowed) == bare(typ))
    {
        let near = "if these tokens are meant, add the type to allowed_types; else the token is of another kind, such as \
                    an ID token or a security event token";
        found.push(Mismatch {
            rule: "typ",
            expected: list(&policy.allowed_types.iter().map(String::as_str).collect::<Vec<_>>()),
            seen: text(typ),
            near: Some(near.to_owned()),
        });
    }
    let Some(issuer) = issuer(policy, token) else { return found };
    let alg = token.header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let algorithm = Algorithm::named(alg).filter(|algorithm| issuer.algorithms.contains(algorithm));
    let Some(algorithm) = algorithm else {
        let allowed: Vec<&str> = issuer.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        found.push(Mismatch { rule: "alg", expected: list(&allowed), seen: text(alg), near: Some(other_alg(alg)) });
        return found;
    };
    found.extend(of_kid(config, trial, issuer, token, algorithm));
    found
}

fn other_alg(alg: &str) -> String {
    match alg {
        "none" => "the token is unsigned".to_owned(),
        shared if shared.starts_with("HS") => {
            "the token is signed with a shared secret, and the issuer has public keys: the sender uses another library \
             setting or issuer (in Auth0 the signing algorithm of the API), or a secret of its own"
                .to_owned()
        }
        other => format!("if the issuer signs with {other}, add it to `algorithms` of the issuer"),
    }
}

fn of_kid(
    config: &Config,
    trial: &Trial<'_>,
    issuer: &Issuer,
    token: &Decoded,
    algorithm: Algorithm,
) -> Option<Mismatch> {
    let keys = match &issuer.keys {
        Keys::OfTenants(all) => all.get(trial.tenant.as_deref()?)?.current(trial.now)?,
        keys @ (Keys::Fixed(_) | Keys::Remote(_)) => keys.current(trial.now)?,
        Keys::Chain(_) => return None,
    };
    let kid = token.header.get("kid").and_then(Value::as_str);
    if keys.select(kid, algorithm).is_ok() {
        return None;
    }
    let all: Vec<_> = (0..keys.len()).filter_map(|place| keys.get(place)).collect();
    let kids: Vec<&str> = all.iter().filter_map(|key| key.name()).collect();
    let other = all.iter().find(|key| kid.is_some() && key.name() == kid).map(|key| key.algorithm().name());
    let near = match (kid, other) {
        (_, Some(other)) => format!("the key of this kid is for {other}"),
        (None, _) => {
            "the token has no kid, by which the issuer's keys are told apart: its sender must write it".to_owned()
        }
        (Some(kid), _) => {
            let near = kids.iter().find_map(|expected| slip(expected, kid));
            let elsewhere = issuers(config).into_iter().find(|other| {
                let has = |keys: std::sync::Arc<crate::auth::keys::KeySet>| {
                    (0..keys.len()).filter_map(|place| keys.get(place)).any(|key| key.name() == Some(kid))
                };
                other.name != issuer.name && other.keys.current(trial.now).is_some_and(has)
            });
            let elsewhere = elsewhere.map(|other| format!("it is a key of the issuer {} of this file", other.name));
            near.or(elsewhere).unwrap_or_else(|| {
                "the key belongs to another issuer or environment, or was removed from the JWKS".to_owned()
            })
        }
    };
    let seen = kid.map_or_else(|| "none".to_owned(), text);
    Some(Mismatch { rule: "kid", expected: list(&kids), seen, near: Some(near) })
}

/// The issuer of the route whose tokens these are; of a single one it is that one.
fn issuer<'p>(policy: &'p JwtPolicy, token: &Decoded) -> Option<&'p Issuer> {
    let of_token = policy.issuers.iter().find(|issuer| issuer.iss.matches(&token.claims));
    of_token.or_else(|| policy.issuers.first().filter(|_| policy.issuers.len() == 1))
}

/// The issuers of all routes.
fn issuers(config: &Config) -> Vec<&Issuer> {
    let routes = config.snapshot.routes.routes();
    let leaves = routes.flat_map(|route| route.rules.policy.leaves());
    leaves
        .filter_map(|leaf| if let Policy::Jwt(policy) = leaf { Some(&policy.issuers) } else { None })
        .flatten()
        .collect()
}

pub(super) fn of_issuer(config: &Config, trial: &Trial<'_>, policy: &JwtPolicy, token: &Decoded) -> Option<Mismatch> {
    let of_path = policy.issuers.iter().any(|issuer| issuer.iss.is_of_path());
    let matches = |issuer: &Issuer| {
        let example = || issuer.iss.example(trial.tenant.as_deref());
        issuer.iss.matches(&token.claims)
            && (!of_path || token.claims.get("iss").and_then(Value::as_str) == example().as_deref())
    };
    if policy.issuers.iter().any(matches) {
        return None;
    }
    let expected = policy.issuers.iter().filter_map(|issuer| match &issuer.iss {
        IssuerClaim::Any => None,
        IssuerClaim::Exact(iss) => Some(iss.clone()),
        IssuerClaim::Tenants(template, _) => Some(template.clone()),
        IssuerClaim::TrustDomain(domain) => Some(format!("a `sub` in {domain}")),
    });
    let expected: Vec<String> = expected.collect();
    let seen = token.claims.get("iss");
    let iss = seen.and_then(Value::as_str).unwrap_or_default();
    let other = issuers(config).into_iter().find(|other| other.iss.matches(&token.claims) && !other.iss.is_optional());
    let other = other.map(|other| {
        let named: Vec<&str> = policy.issuers.iter().map(|issuer| &*issuer.name).collect();
        format!("the token is one of the issuer {} of this file, and the route has {}", other.name, named.join(", "))
    });
    Some(Mismatch {
        rule: "iss",
        expected: list(&expected.iter().map(String::as_str).collect::<Vec<_>>()),
        seen: seen.map_or_else(|| "none".to_owned(), shown),
        near: expected.iter().find_map(|expected| slip(expected, iss)).or(other),
    })
}

pub(super) fn of_audience(trial: &Trial<'_>, policy: &JwtPolicy, token: &Decoded) -> Option<Mismatch> {
    let (Audience::OneOf(ours) | Audience::OfTenant(ours)) = &policy.audience else { return None };
    let tenant = trial.tenant.as_deref().unwrap_or_default();
    let ours: Vec<String> = ours.iter().map(|our| our.replace(PATH_TENANT, tenant)).collect();
    let aud = token.claims.get("aud");
    let theirs: Vec<&str> = match aud {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    if theirs.iter().any(|one| ours.iter().any(|our| our == one)) {
        return None;
    }
    let near = theirs.iter().find_map(|one| {
        let word = |our: &&String| one.split([' ', ',']).any(|word| word == our.as_str());
        let joined = ours.iter().find(word).map(|_| "several audiences are one text: `aud` must be a list of texts");
        ours.iter().find_map(|our| slip(our, one)).or_else(|| joined.map(str::to_owned))
    });
    let id_token = OF_ID_TOKEN.iter().find(|name| token.claims.contains_key(**name)).map(|name| {
        format!("it looks like an ID token (it has `{name}`), whose audience is the client: send the access token")
    });
    let elsewhere = ["azp", "client_id", "resource"].iter().find_map(|name| {
        let value = token.claims.get(*name)?.as_str()?;
        ours.iter().any(|our| our == value).then(|| {
            format!(
                "the expected value is in `{name}`, which names the client, not the audience: request the token for \
                     this audience, or compare `{name}` under claims"
            )
        })
    });
    Some(Mismatch {
        rule: "aud",
        expected: list(&ours.iter().map(String::as_str).collect::<Vec<_>>()),
        seen: aud.map_or_else(|| "none".to_owned(), shown),
        near: near.or(id_token).or(elsewhere),
    })
}

/// The type of each time, and the bounds of `exp`, `nbf` and `iat`.
pub(super) fn of_times(trial: &Trial<'_>, policy: &JwtPolicy, token: &Decoded) -> Vec<Mismatch> {
    let (now, mut found) = (trial.now, Vec::new());
    let leeway = policy.leeway.as_secs();
    let with_leeway = |text: &str| format!("{text} (leeway {leeway} s)");
    let time = |name: &str| seconds(token.claims.get(name)?);
    for rule in ["exp", "nbf", "iat"] {
        let Some(value) = token.claims.get(rule).filter(|value| seconds(value).is_none()) else { continue };
        let expected = "a number of seconds since 1970".to_owned();
        found.push(Mismatch { rule, expected, seen: shown(value), near: unit(rule, value, now) });
    }
    let mut out_of_range = |rule, expected: String, time: UnixTime, near: &str| {
        found.push(Mismatch { rule, expected, seen: distance(time, now), near: Some(near.to_owned()) });
    };
    if let Some(exp) = time("exp").filter(|exp| now >= exp.plus(policy.leeway)) {
        let near = format!(
            "the token expired {} s ago: an old token, of a sender that keeps its tokens for too long, or a wrong clock",
            now.since(exp).as_secs()
        );
        out_of_range("exp", with_leeway("a time to come"), exp, &near);
    }
    let clock = "the clock of the issuer is ahead of this machine's, or that of this machine behind";
    if let Some(nbf) = time("nbf").filter(|nbf| now.plus(policy.leeway) < *nbf) {
        out_of_range("nbf", with_leeway("a time that has come"), nbf, clock);
    }
    if let Some(iat) = time("iat").filter(|iat| *iat > now.plus(policy.leeway)) {
        out_of_range("iat", with_leeway("a time that has come"), iat, clock);
    }
    if let (Some(max_age), Some(iat)) = (policy.max_age, time("iat"))
        && iat.plus(max_age).plus(policy.leeway) < now
    {
        let expected = format!("at most {} s ago (max_age, leeway {leeway} s)", max_age.as_secs());
        out_of_range("iat", expected, iat, "the sender must request a token more often, or raise max_age");
    }
    if let (Some(longest), Some(iat), Some(exp)) = (policy.max_lifetime, time("iat"), time("exp"))
        && exp > iat.plus(longest)
    {
        let expected = format!("at most {} s after iat (max_lifetime)", longest.as_secs());
        let seen = format!("{} s after iat", exp.since(iat).as_secs());
        let near = Some("issue tokens with a shorter lifetime, or raise max_lifetime".to_owned());
        found.push(Mismatch { rule: "exp", expected, seen, near });
    }
    found
}

/// The form of a time that is no number of seconds.
fn unit(rule: &str, value: &Value, now: UnixTime) -> Option<String> {
    let milliseconds = value.as_f64().filter(|time| *time > 0.0 && *time < MAX_MILLISECONDS);
    if milliseconds.is_some() {
        let time = value.as_u64().and_then(|milliseconds| UnixTime::from_seconds(milliseconds / 1000));
        let time = time.filter(|time| rule == "exp" && *time <= now);
        // Otherwise the corrected token would be rejected once more.
        let expired =
            time.map(|time| format!("; the token is then one that expired {} s ago", now.since(time).as_secs()));
        return Some(format!("it is in milliseconds: divide it by 1000{}", expired.unwrap_or_default()));
    }
    let form = match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some("it is a text: write the number without quotes")
        }
        Value::String(_) => Some("it is a text: write it as the number of seconds since 1970"),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    form.map(str::to_owned)
}

/// The required claims, and the rules under `claims`.
pub(super) fn of_claims(policy: &JwtPolicy, token: &Decoded) -> Vec<Mismatch> {
    let is_absent = |name: &&String| token.claims.get(*name).is_none_or(Value::is_null);
    let required = policy.required_claims.iter().filter(is_absent).map(|name| Mismatch {
        rule: "required_claims",
        expected: format!("a claim `{name}`"),
        seen: "none".to_owned(),
        near: similar(token, name),
    });
    let rules = policy.claims.iter().filter(|rule| !rule.holds(&token.claims)).map(|rule| {
        let seen = rule.pointer.find(&token.claims);
        Mismatch {
            rule: "claims",
            expected: format!("{} {}", rule.pointer, rule.test),
            seen: seen.map_or_else(|| "no such claim".to_owned(), shown),
            near: match seen {
                Some(seen) if !seen.is_null() => near(rule, seen),
                Some(_) | None => similar(token, rule.pointer.to_string().trim_start_matches('/')),
            }
            .or_else(|| missing_scope(rule)),
        }
    });
    required.chain(rules).collect()
}

/// The scope that the token lacks, which its sender must ask for.
fn missing_scope(rule: &ClaimRule) -> Option<String> {
    let wanted = match &rule.test {
        ClaimTest::Equals(scope) | ClaimTest::Contains(scope) => shown(scope),
        ClaimTest::OneOf(scopes) | ClaimTest::ContainsAny(scopes) => {
            format!("one of {}", scopes.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        ClaimTest::Prefix(_) | ClaimTest::Matches(_) | ClaimTest::Exists(_) => return None,
    };
    let hint = || format!("the token lacks the scope {wanted}: the client must request it, and the issuer grant it");
    rule.is_scope().then(hint)
}

/// A small difference between the claim and the rule.
fn near(rule: &ClaimRule, seen: &Value) -> Option<String> {
    let wanted: Vec<&Value> = match &rule.test {
        ClaimTest::Equals(value) | ClaimTest::Contains(value) => vec![value],
        ClaimTest::OneOf(values) | ClaimTest::ContainsAny(values) => values.iter().collect(),
        ClaimTest::Prefix(_) | ClaimTest::Matches(_) | ClaimTest::Exists(_) => return None,
    };
    let is_of_one_value = rule.test.is_of_one_value();
    let listed = |value: &&&Value| ClaimTest::Contains((**value).clone()).passes(Some(seen));
    if let Some(value) = wanted.iter().find(listed).filter(|_| is_of_one_value) {
        let form = if seen.is_array() { "a list" } else { "a list of words in one text" };
        return Some(format!("the claim is {form} that has the value: write {{ contains: {} }}", shown(value)));
    }
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let seen_texts: Vec<String> = match seen {
        Value::Array(items) => items.iter().map(as_text).collect(),
        Value::String(text) if !is_of_one_value => text.split([' ', ',']).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![as_text(seen)],
    };
    let mut pairs = wanted.iter().flat_map(|wanted| seen_texts.iter().map(|seen| (as_text(wanted), seen)));
    pairs.find_map(|(wanted, one)| {
        if wanted == *one {
            let separated = matches!(seen, Value::String(text) if text.contains(','));
            return Some(if separated {
                "the words are separated by commas, not by spaces (RFC 8693 §4.2)".to_owned()
            } else {
                "the values are of different types: a number, a text and true or false are never equal".to_owned()
            });
        }
        slip(&wanted, one)
    })
}

/// A claim that may have been meant: another case, or another usual name.
fn similar(token: &Decoded, name: &str) -> Option<String> {
    const SAME: &[&[&str]] = &[
        &["scope", "scp", "scopes", "permissions"],
        &["client_id", "azp", "cid", "appid"],
        &["roles", "groups", "role"],
    ];
    let others = SAME.iter().find(|names| names.contains(&name)).copied().unwrap_or_default();
    let mut names = token.claims.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
    let found = names.find(|other| other.eq_ignore_ascii_case(name) || others.contains(&other.as_str()));
    if let Some(found) = found {
        return Some(format!("the token has `{found}`"));
    }
    let is_id_token = OF_ID_TOKEN.iter().find(|name| token.claims.contains_key(**name));
    is_id_token.map(|claim| format!("it looks like an ID token (it has `{claim}`): send the access token"))
}
