//! One evaluation of a captured request by the rules of a route at a given time.

use std::cell::Cell;

use super::message::Captured;
use crate::auth::explanation::{Explanation, Note};
use crate::auth::signature::SignaturePolicy;
use crate::auth::{Grant, Policy, Reason, RequestView, Rules, VerifyError, verify_explained};
use crate::clock::UnixTime;
use crate::route::filter::FilterRule;
use crate::route::{ChallengeStage, Route};

/// A captured request, with the route and the time to evaluate it by.
pub(super) struct Trial<'a> {
    pub(super) route: &'a Route,
    pub(super) captured: Captured,
    pub(super) now: UnixTime,
    /// The tenant that the path names.
    pub(super) tenant: Option<String>,
    /// How often the request was verified with a change.
    pub(super) attempts: Cell<usize>,
}

/// Whether the request passes after `change` of the rules, the headers, the body or the time.
pub(super) fn passes(trial: &Trial<'_>, change: impl FnOnce(&mut Route, &mut Captured, &mut UnixTime)) -> bool {
    let (mut route, mut captured, mut now) = (trial.route.clone(), trial.captured.clone(), trial.now);
    change(&mut route, &mut captured, &mut now);
    let tenant = trial.tenant.clone();
    trial.attempts.set(trial.attempts.get().saturating_add(1));
    Trial { route: &route, captured, now, tenant, attempts: Cell::default() }.verdict(&mut Explanation::off()).is_ok()
}

/// Changes each signature scheme of the rules.
pub(in crate::cli) fn each_signature(rules: &mut Rules, mut change: impl FnMut(&mut SignaturePolicy)) {
    fn walk(policy: &mut Policy, change: &mut impl FnMut(&mut SignaturePolicy)) {
        match policy {
            Policy::Signature(policy) => change(policy),
            Policy::AllOf(policies) | Policy::AnyOf(policies) => {
                policies.iter_mut().for_each(|policy| walk(policy, change));
            }
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::MessageSignature(_)
            | Policy::ClientCertificate(_)
            | Policy::Token(_)
            | Policy::Public => {}
        }
    }
    walk(&mut rules.policy, &mut change);
}

/// The signature schemes of a route.
pub(super) fn signatures(rules: &Rules) -> Vec<&SignaturePolicy> {
    let leaves = rules.policy.leaves().into_iter();
    leaves.filter_map(|leaf| if let Policy::Signature(policy) = leaf { Some(&**policy) } else { None }).collect()
}

impl Trial<'_> {
    pub(super) fn view(&self) -> RequestView<'_> {
        let view = RequestView::new(&self.captured.head, self.route.url_base(self.captured.host()));
        view.with_body(&self.captured.body).with_tenant(self.tenant.as_deref())
    }

    /// Uses this file as the one at the URL that the request names; returns the problem of one that cannot be used.
    pub(super) fn give_certificate(&self, file: &[u8]) -> Option<Note> {
        let view = self.view();
        let named =
            self.route.rules.policy.leaves().into_iter().filter_map(|leaf| {
                if let Policy::Signature(policy) = leaf { policy.certificate.as_ref() } else { None }
            });
        let problems = named.filter_map(|named| {
            let url = named.url.find(&view).ok()??.into_text()?;
            let error = named.certificates.add(&url, file, self.now).err()?;
            Some(Note { check: "certificate file", found: error.to_string() })
        });
        problems.last()
    }

    pub(super) fn verdict(&self, explanation: &mut Explanation) -> Result<Grant, Reason> {
        match verify_explained(&self.route.rules, &self.view(), self.now, explanation) {
            Ok(grant) => Ok(grant),
            Err(VerifyError::Rejected(rejection)) => Err(rejection.reason),
            // This cannot happen: the view has the body.
            Err(VerifyError::NeedsBody) => Err(Reason::MalformedCredential),
        }
    }

    /// The rules of the filter that match, to the first one that is enforced.
    pub(super) fn filtered(&self, grant: &Grant) -> Vec<&FilterRule> {
        let mut matching = Vec::new();
        for rule in self.route.filter.iter().filter(|rule| rule.matches(&self.view(), grant.claims())) {
            matching.push(rule);
            if !self.only_observes(rule) {
                break;
            }
        }
        matching
    }

    /// Whether a match of the rule is only logged and counted.
    pub(super) fn only_observes(&self, rule: &FilterRule) -> bool {
        rule.observes || self.route.observes(self.now)
    }

    pub(super) fn answer(&self, stage: ChallengeStage) -> Option<Note> {
        let answer = self.route.challenge_response(&self.view(), stage).ok()??;
        let mut found = format!("answered by the gateway with {} bytes", answer.body.len());
        if let Some(confirmation) = answer.confirmation {
            // The query has a secret token.
            let (url, topic) = (confirmation.url.split('?').next().unwrap_or_default(), confirmation.topic);
            found.push_str(&format!(", after a GET of {url} that confirms the subscription to {topic}"));
            found.push_str("; explain fetches nothing");
        }
        Some(Note { check: "challenge", found })
    }
}
