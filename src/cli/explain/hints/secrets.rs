//! Hints about secrets: one that was read in the wrong encoding, with more than the secret around it, or of another route.

mod spelling;

use zeroize::Zeroizing;

use super::super::trial::{Trial, each_signature, passes};
use crate::auth::secret::{Secret, SecretKey};
use crate::auth::{Policy, Rules};
use crate::config::values::decode_secret;
use crate::config::{Config, presets};
use crate::route::Route;

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

/// The kind of a configured secret that cannot be one of this preset, such as an API key or a placeholder.
pub(super) fn of_kind(trial: &Trial<'_>) -> Option<String> {
    trial.route.rules.policy.leaves().into_iter().find_map(|leaf| {
        let (scheme, secrets) = match leaf {
            Policy::Signature(policy) => (&policy.name, &policy.secrets),
            Policy::Token(policy) => (&policy.name, &policy.secrets),
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::MessageSignature(_)
            | Policy::ClientCertificate(_)
            | Policy::AllOf(_)
            | Policy::AnyOf(_)
            | Policy::Public => return None,
        };
        let preset = presets::find(scheme);
        let expected = preset.as_ref().and_then(|preset| preset.secret.as_ref());
        secrets.of(trial.tenant.as_deref()).iter().find_map(|secret| {
            let text = std::str::from_utf8(secret.key.shared()?).ok()?;
            spelling::other_kind(text, expected.map(|expected| (&**scheme, expected)))
        })
    })
}

fn find(config: &Config, trial: &Trial<'_>, set: impl Fn(&mut Route, &Secret)) -> Option<String> {
    let with = |key: SecretKey| passes(trial, |route, _, _| set(route, &Secret::new(0, key)));
    let key = |bytes: &[u8]| SecretKey::from_secret(Zeroizing::new(bytes.to_vec())).ok();
    for secret in secrets_of(&trial.route.rules, trial.tenant.as_deref()) {
        let Some(raw) = secret.key.shared() else { continue };
        let alone = spelling::alone(raw);
        for (text, hint) in &alone {
            if key(text).is_some_and(with) {
                return Some(hint.clone());
            }
        }
        let of_raw = std::iter::once((raw, "")).chain(alone.iter().map(|(text, hint)| (&**text, hint.as_str())));
        for (text, hint) in of_raw {
            for (encoding, name) in spelling::ENCODINGS {
                let decoded = decode_secret(text, *encoding).and_then(|secret| SecretKey::from_secret(secret).ok());
                if decoded.is_some_and(with) {
                    let and = if hint.is_empty() { String::new() } else { format!("{hint}; and ") };
                    return Some(format!("{and}the secret is encoded as {name}: set `encoding: {name}`"));
                }
            }
        }
        if let Some((_, hint)) = spelling::of_sender(raw).into_iter().find(|(text, _)| key(text).is_some_and(with)) {
            return Some(hint);
        }
    }
    let others = config.snapshot.routes.routes().filter(|route| route.name != trial.route.name);
    let mut others = others.filter(|route| secrets_of(&route.rules, None).into_iter().any(|secret| with(secret.key)));
    others.next().map(|route| {
        format!("it is made with a secret of the route {}: a previous secret, or that of another endpoint", route.name)
    })
}
