//! Hints about secrets: one that was read in the wrong encoding, with more than the secret around it, or of another route.

use zeroize::Zeroizing;

use super::super::trial::{Trial, each_signature, passes};
use crate::auth::encoding::Encoding;
use crate::auth::secret::{Secret, SecretKey};
use crate::auth::{Policy, Rules};
use crate::config::Config;
use crate::config::file::SecretEncoding;
use crate::config::values::{cleaned_secret, decode_secret};
use crate::route::Route;

/// A secret of the route in another spelling, with what follows from it.
type Spelling = (Vec<u8>, &'static str);

/// The secrets of the signatures and static tokens of a route.
fn secrets_of(rules: &Rules, tenant: Option<&str>) -> Vec<Secret> {
    let leaves = rules.policy.leaves().into_iter();
    let secrets = leaves.filter_map(|leaf| match leaf {
        Policy::Signature(policy) => Some(policy.secrets.of(tenant)),
        Policy::Token(policy) => Some(policy.secrets.of(tenant)),
        Policy::Jwt(_)
        | Policy::Detached(_)
        | Policy::MessageSignature(_)
        | Policy::ClientCertificate(_)
        | Policy::AllOf(_)
        | Policy::AnyOf(_)
        | Policy::Public => None,
    });
    secrets.flatten().collect()
}

/// Finds the secret with which a signature was made.
pub(super) fn of_signature(config: &Config, trial: &Trial<'_>) -> Option<String> {
    find(config, trial, |route, secret| {
        each_signature(&mut route.rules, |policy| {
            policy.key_id = None;
            policy.secrets = vec![secret.clone()].into();
        });
    })
}

/// Finds the secret that was sent as a static token, or what is around the token.
pub(super) fn of_static_token(config: &Config, trial: &Trial<'_>) -> Option<String> {
    let set = |route: &mut Route, secret: &Secret| {
        fn walk(policy: &mut Policy, secret: &Secret) {
            match policy {
                Policy::Token(policy) => policy.secrets = vec![secret.clone()].into(),
                Policy::AllOf(policies) | Policy::AnyOf(policies) => {
                    policies.iter_mut().for_each(|it| walk(it, secret))
                }
                Policy::Jwt(_)
                | Policy::Detached(_)
                | Policy::MessageSignature(_)
                | Policy::Signature(_)
                | Policy::ClientCertificate(_)
                | Policy::Public => {}
            }
        }
        walk(&mut route.rules.policy, secret);
    };
    let headers: Vec<_> = trial.route.rules.policy.credential_headers().into_iter().cloned().collect();
    for name in headers {
        let value = trial.captured.head.headers.get(&name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Some(value) = value else { continue };
        let unquoted = value.trim_matches(['"', '\'']).to_owned();
        let bare = value.split_once(' ').map(|(_, rest)| rest.trim().to_owned());
        let candidates = [
            (Some(unquoted), "the token has quotes around it"),
            (bare, "the token follows a scheme such as Bearer, which the route does not expect"),
        ];
        for (candidate, hint) in candidates {
            let Some(candidate) = candidate.and_then(|text| http::HeaderValue::from_str(&text).ok()) else { continue };
            if passes(trial, |_, captured, _| drop(captured.head.headers.insert(name.clone(), candidate))) {
                return Some(format!("{hint} (header {name})"));
            }
        }
    }
    find(config, trial, set)
}

fn find(config: &Config, trial: &Trial<'_>, set: impl Fn(&mut Route, &Secret)) -> Option<String> {
    let with = |key: SecretKey| passes(trial, |route, _, _| set(route, &Secret::new(0, key)));
    for secret in secrets_of(&trial.route.rules, trial.tenant.as_deref()) {
        let Some(raw) = secret.key.shared() else { continue };
        let key = |bytes: Vec<u8>| SecretKey::from_secret(Zeroizing::new(bytes)).ok();
        let decoded =
            [(SecretEncoding::Hex, "hex"), (SecretEncoding::Base64, "base64"), (SecretEncoding::Whsec, "whsec")];
        for (encoding, name) in decoded {
            let decoded = decode_secret(raw, encoding).and_then(|secret| SecretKey::from_secret(secret).ok());
            if decoded.is_some_and(with) {
                return Some(format!("the secret is encoded as {name}: set `encoding: {name}`"));
            }
        }
        if let Some((_, hint)) = spellings(raw).into_iter().find(|(text, _)| key(text.clone()).is_some_and(with)) {
            return Some(hint.to_owned());
        }
    }
    let others = config.snapshot.routes.routes().filter(|route| route.name != trial.route.name);
    let mut others = others.filter(|route| secrets_of(&route.rules, None).into_iter().any(|secret| with(secret.key)));
    others.next().map(|route| {
        format!("it is made with a secret of the route {}: a previous secret, or that of another endpoint", route.name)
    })
}

fn spellings(raw: &[u8]) -> Vec<Spelling> {
    let as_text = "the sender uses the secret as text: set `encoding: utf8`";
    let around = |before: &[u8], after: &[u8]| [before, raw, after].concat();
    let mut spellings: Vec<Spelling> = Vec::new();
    if let Some(text) = cleaned_secret(raw) {
        let hint =
            "the secret's file has a byte order mark, quotes, spaces or empty lines around the secret: remove them";
        spellings.push((text.to_vec(), hint));
    }
    if let Some(text) = raw.strip_prefix(b"whsec_") {
        spellings
            .push((text.to_vec(), "the sender uses the secret without its prefix `whsec_`: remove it from the file"));
    }
    let base64 = Encoding::Base64.encode(raw);
    spellings.extend([
        (Encoding::Hex.encode(raw).into_bytes(), as_text),
        (Encoding::HexUpper.encode(raw).into_bytes(), as_text),
        (base64.clone().into_bytes(), as_text),
        (
            format!("whsec_{base64}").into_bytes(),
            "the sender uses the secret as text, with its prefix `whsec_`: set `encoding: utf8`",
        ),
        (around(b"", b"\n"), "the sender uses the secret with the trailing newline of its file"),
        (around(b"", b"\r\n"), "the sender uses the secret with the trailing line break (CRLF) of its file"),
        (around(b"\"", b"\""), "the sender uses the secret with quotes around it"),
        (around(b"'", b"'"), "the sender uses the secret with quotes around it"),
        (around(b"\xef\xbb\xbf", b""), "the sender uses the secret with a byte order mark before it"),
        (around(b"", b" "), "the sender uses the secret with a space after it"),
        (around(b" ", b""), "the sender uses the secret with a space before it"),
    ]);
    spellings
}
