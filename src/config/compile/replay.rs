//! `replay_protection` and `idempotency` of a route.

use std::sync::Arc;
use std::time::Duration;

use super::auth::written;
use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::locator::Locator;
use crate::auth::replay_protection::{NoReplayId, ReplayIdSource};
use crate::auth::signature::{Component, Presence, SignatureReplayId};
use crate::config::compiled::Window;
use crate::config::file::preset::RedeliveryYaml;
use crate::config::file::store::{IdempotencyYaml, ReplayIdYaml, ReplayProtectionYaml, ReplayRuleYaml, StoreYaml};
use crate::config::file::{AuthScheme, AuthYaml, RouteYaml};
use crate::config::presets;
use crate::config::reader::{Field, Location};
use crate::config::values::parse_duration;
use crate::route::duplicates::{DuplicateRules, IdempotencyRule, OnDuplicate, ReplayRule, Statuses, Widened};

/// Maximum lifetime of an entry: longer ones would fill any store.
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

impl Compiler<'_> {
    /// Compiles the route's replay protection and idempotency, and sets the replay id of its policy. `share` is the
    /// number of store entries that the route may have.
    pub(super) fn duplicate_rules(
        &mut self,
        file: &RouteYaml,
        mut policy: Option<&mut Policy>,
        name: Option<&Arc<str>>,
        share: usize,
    ) -> Option<DuplicateRules> {
        let field = &file.replay_protection;
        let replay = match field.value() {
            Some(ReplayProtectionYaml::Word(_)) => None,
            Some(ReplayProtectionYaml::Rule(rule)) => self.replay(rule, file, policy.as_deref_mut(), name),
            None => {
                if file.auth.value().is_some_and(writes_jwt) {
                    let what = "{ id: { claim: jti } } together with a `store`, or `disabled`: a copied token can be \
                                sent again until it expires";
                    self.missing(field.at, what);
                } else if let Some(policy) = policy.as_deref().filter(|_| !field.is_written()) {
                    self.warn_of_retries(file, policy);
                }
                None
            }
        };
        let idempotency = file.idempotency.value().and_then(|settings| self.idempotency(settings));
        if replay.is_none() && idempotency.is_none() {
            return None;
        }
        if !self.file.store.is_written() {
            let what = "`store: { type: memory }` for one process, or embedded or redis, at the top level: replay ids \
                        and idempotency keys are kept there";
            self.missing(self.file.store.at, what);
        }
        let one_sender = policy.is_none_or(|policy| policy.has_one_sender());
        Some(DuplicateRules { replay, idempotency, share, one_sender })
    }

    fn replay(
        &mut self,
        rule: &ReplayRuleYaml,
        file: &RouteYaml,
        policy: Option<&mut Policy>,
        name: Option<&Arc<str>>,
    ) -> Option<ReplayRule> {
        let at = file.replay_protection.at;
        let ttl = rule.ttl.duration();
        self.check_ttl(ttl, rule.ttl.at);
        let on_duplicate = match rule.on_duplicate.value() {
            Some(OnDuplicate::StoredResponse) => {
                let problem = "`stored_response` is for idempotency only; use reject or acknowledge";
                self.problems.add(rule.on_duplicate.at, problem);
                OnDuplicate::Reject
            }
            Some(written) => *written,
            // Where two events may have one id, a 200 would lose the second in silence.
            None if file.auth.value().is_some_and(|auth| of_a_sender_that_retries(auth) && !repeats(auth)) => {
                OnDuplicate::Acknowledge
            }
            None => OnDuplicate::Reject,
        };
        let commit_on = match rule.commit_on.written() {
            None => vec![Statuses::Class(2), Statuses::Class(3)],
            Some(statuses) => statuses.to_vec(),
        };
        if commit_on.is_empty() {
            let problem = "must not be empty: no request would ever be committed; set 2xx or remove the key";
            self.problems.add_follow_up(rule.commit_on.at, problem);
        }
        let id = rule.id.if_written(|field| self.replay_id(field))?;
        let policy = policy?;
        let endless = matches!(policy.identify(id.as_ref(), false), Err(NoReplayId::Endless));
        match policy.identify(id.as_ref(), ttl.is_some()) {
            Ok(()) => {
                self.warn_of_late_retries(policy, ttl, at);
                self.warn_of_a_short_ttl(policy, file, rule);
                self.warn_of_repeats(policy, rule.id.at);
                if endless {
                    self.warn_of_lost_ids(at);
                }
            }
            Err(why) => self.no_id(why, rule, at),
        }
        let widened = name.and_then(|name| self.window(name, policy.window()));
        Some(ReplayRule { scope: rule.scope.or_default(), on_duplicate, ttl, commit_on, widened })
    }

    fn no_id(&mut self, why: NoReplayId, rule: &ReplayRuleYaml, at: Location) {
        match why {
            NoReplayId::NoId => {
                let message = "a credential of this route contains no signed value that is unique to each request, or \
                               not at this `id`; use another `id`, or `replay_protection: disabled`";
                self.problems.add(at, message);
            }
            NoReplayId::Repeats => {
                let message = "this preset has no replay id: two events may have the same signed content, and the second \
                               would be answered without the upstream; name a signed value that is unique as `id`, set \
                               `replay_protection: disabled`, or accept the loss with `id: { hash: true }`";
                self.problems.add(at, message);
            }
            NoReplayId::Unsigned => {
                let message = "is not signed: an attacker who replays a request could change it; remove `id`, or write \
                               { hash: true }";
                self.problems.add(rule.id.at, message);
            }
            NoReplayId::Endless => {
                let message = "how long an id is kept, such as 72h: the credentials of this route do not expire";
                self.missing(rule.ttl.at, message);
            }
        }
    }

    /// Warns of an id that stays the same when a retry is signed again, which may be after the id was deleted.
    fn warn_of_late_retries(&mut self, policy: &Policy, ttl: Option<Duration>, at: Location) {
        let stays = |leaf: &&Policy| {
            let Policy::Signature(policy) = leaf else { return false };
            policy.time.is_some() && matches!(policy.replay_id, Some(SignatureReplayId::Component(_)))
        };
        if ttl.is_none() && policy.leaves().iter().any(stays) {
            let warning = "a retry that the sender signs again after the signature's maximum age is forwarded a second \
                           time, because its id is no longer kept; set a `ttl` as long as the sender retries";
            self.warn(at, warning);
        }
    }

    /// Warns of an id that is deleted while the provider still retries. A hash over a signed time is that of one attempt.
    fn warn_of_a_short_ttl(&mut self, policy: &Policy, file: &RouteYaml, rule: &ReplayRuleYaml) {
        let stays = |leaf: &&Policy| {
            let Policy::Signature(policy) = leaf else { return false };
            policy.time.is_none() || matches!(policy.replay_id, Some(SignatureReplayId::Component(_)))
        };
        let (Some(kept), Some(auth)) = (rule.ttl.duration(), file.auth.value()) else { return };
        if !policy.leaves().iter().any(stays) {
            return;
        }
        let windows = schemes(auth).into_iter().filter_map(|scheme| {
            let name = scheme.preset.text()?;
            Some((name, presets::find(name)?.retry_window?))
        });
        let windows: Vec<(&str, String)> = windows.collect();
        if let Some((name, window)) = windows.iter().find(|(_, window)| parse_duration(window) > Some(kept)) {
            let warning = format!(
                "is shorter than the {window} for which {name} retries: a later retry of an event that the upstream has \
                 processed is forwarded once more; write a longer one"
            );
            self.warn(rule.ttl.at, &warning);
        }
    }

    /// Warns of a hash that was written as the id although two events may share it.
    fn warn_of_repeats(&mut self, policy: &Policy, at: Location) {
        if policy.leaves().iter().any(may_lose_events) {
            let warning = "two events of this sender may have the same signed content: the second is answered as a \
                           duplicate and never forwarded";
            self.warn(at, warning);
        }
    }

    /// Warns of credentials without a signed time in Redis: if that loses an id, nothing tells a captured request from a
    /// new one.
    fn warn_of_lost_ids(&mut self, at: Location) {
        if matches!(self.file.store.value(), Some(StoreYaml::Redis(_))) {
            let warning = "the credentials have no signed time: a request whose id Redis loses can be replayed; set \
                           `appendonly yes` in Redis, and `appendfsync always` to lose none with a gateway that dies \
                           at the same time";
            self.warn(at, warning);
        }
    }

    /// Stores the window for the next reload. A window longer than the active one applies only to credentials issued
    /// from now on.
    fn window(&mut self, name: &Arc<str>, length: Duration) -> Option<Widened> {
        let before = self.known.windows.get(name).copied();
        let widened = before.and_then(|before| match before.widened {
            _ if length > before.length => {
                let by = length - before.length + before.widened.map_or(Duration::ZERO, |widened| widened.by);
                Some(Widened { at: self.known.read_at, by })
            }
            still => still,
        });
        self.handles.windows.insert(Arc::clone(name), Window { length, widened });
        widened
    }

    fn check_ttl(&mut self, ttl: Option<Duration>, at: Location) {
        if ttl.is_some_and(|ttl| ttl > MAX_TTL) {
            self.problems.add(at, "must be 366d or less");
        }
    }

    fn replay_id(&mut self, field: &Field<ReplayIdYaml>) -> Option<ReplayIdSource> {
        let file = field.value()?;
        match (written(&file.places()).as_slice(), file.hash.value()) {
            ([key], None) => {
                let locator = self.locator_under(*key)?;
                Some(if let Locator::Claim(pointer) = locator {
                    ReplayIdSource::Claim(pointer)
                } else {
                    ReplayIdSource::Component(Component::Located(locator, Presence::Required))
                })
            }
            ([], Some(true)) => Some(ReplayIdSource::Hash),
            (places, hash) => {
                let is_any_written = !places.is_empty() || hash.is_some();
                self.not_one(field.at, "claim, header, json, form and `hash: true`", is_any_written);
                None
            }
        }
    }

    fn idempotency(&mut self, file: &IdempotencyYaml) -> Option<IdempotencyRule> {
        let ttl = file.ttl.get();
        self.check_ttl(Some(ttl), file.ttl.at);
        let on_duplicate = file.on_duplicate.value().copied().unwrap_or(OnDuplicate::StoredResponse);
        let places =
            self.required(&file.key, "exactly one of header, claim and json, such as { header: Idempotency-Key }");
        let key = self.only_key(&places?.places(), file.key.at)?;
        let key = self.locator_under(key)?;
        Some(IdempotencyRule { key, required: file.required.get(), ttl, on_duplicate })
    }
}

fn may_lose_events(leaf: &&Policy) -> bool {
    matches!(leaf, Policy::Signature(policy) if policy.may_lose_events())
}

/// Whether a route keeps replay ids or idempotency keys.
pub(super) fn uses_store(file: &RouteYaml) -> bool {
    matches!(file.replay_protection.value(), Some(ReplayProtectionYaml::Rule(_))) || file.idempotency.is_written()
}

/// Whether a scheme is the operator's own `jwt`. A preset is exempt: its author knows whether the provider sends a
/// token twice.
fn writes_jwt(auth: &AuthYaml) -> bool {
    any_scheme(auth, |scheme| scheme.jwt.is_written())
}

/// Whether a scheme is a preset whose sender retries after every response that is not a success.
fn of_a_sender_that_retries(auth: &AuthYaml) -> bool {
    any_scheme(auth, |scheme| {
        let preset = scheme.preset.text().and_then(presets::find);
        preset.is_some_and(|preset| preset.redelivery != Some(RedeliveryYaml::Never))
    })
}

/// Whether a scheme is a preset of which two events may have the same signed content.
fn repeats(auth: &AuthYaml) -> bool {
    any_scheme(auth, |scheme| {
        scheme.preset.text().and_then(presets::find).is_some_and(|preset| preset.repeats.is_some())
    })
}

fn any_scheme(auth: &AuthYaml, holds: impl Fn(&AuthScheme) -> bool) -> bool {
    schemes(auth).into_iter().any(holds)
}

/// All schemes of a route, also those inside `all_of` and `any_of`.
fn schemes(auth: &AuthYaml) -> Vec<&AuthScheme> {
    fn below<'s>(scheme: &'s AuthScheme, found: &mut Vec<&'s AuthScheme>) {
        found.push(scheme);
        scheme.all_of.iter().chain(&**scheme.any_of).for_each(|branch| below(branch, found));
    }
    let mut found = Vec::new();
    if let AuthYaml::Scheme(scheme) = auth {
        below(scheme, &mut found);
    }
    found
}
