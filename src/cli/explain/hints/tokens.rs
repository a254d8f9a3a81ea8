//! Hints about tokens: a signature that does not verify, and the header of an AWS load balancer.

use super::super::trial::Trial;
use crate::auth::{Policy, Reason};

/// The header in which an AWS application load balancer sends the claims of a user.
const OF_LOAD_BALANCER: &str = "x-amzn-oidc-data";

pub(super) fn find(trial: &Trial<'_>, reason: Reason) -> Option<String> {
    let (view, leaves) = (trial.view(), trial.route.rules.policy.leaves());
    let takes_token = |leaf: &&Policy| matches!(leaf, Policy::Jwt(_) | Policy::Detached(_));
    let mut places = leaves.into_iter().filter(takes_token).flat_map(Policy::places).peekable();
    places.peek()?;
    let unread = matches!(reason, Reason::MissingCredential | Reason::MalformedCredential | Reason::MalformedToken);
    if unread && trial.captured.head.headers.contains_key(OF_LOAD_BALANCER) {
        return Some(format!(
            "{OF_LOAD_BALANCER} of an AWS application load balancer is not supported: its parts are padded base64, and its \
             keys have no JWKS. Verify x-amzn-oidc-accesstoken with the JWKS of the identity provider; see docs/issuers.md"
        ));
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
