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
use crate::config::error::FieldPath;
use crate::config::file::store::{
    IdempotencyFile, IdempotencyKeyFile, OnDuplicateFile, ReplayIdFile, ReplayProtectionFile, ReplayRuleFile,
    StatusText,
};
use crate::config::file::{AuthFile, AuthScheme, AuthWord, RouteFile};
use crate::config::presets;
use crate::route::duplicates::{DuplicateRules, IdempotencyRule, OnDuplicate, ReplayRule, Statuses, Widened};

/// Default lifetime of an idempotency key: as long as most senders retry.
const KEY_TTL: Duration = Duration::from_secs(24 * 3600);

/// Maximum lifetime of an entry: longer ones would fill any store.
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

impl Compiler<'_> {
    /// Compiles the route's replay protection and idempotency, and sets the replay id of its policy.
    pub(super) fn duplicate_rules(
        &mut self,
        file: &RouteFile,
        policy: Option<&mut Policy>,
        name: Option<&Arc<str>>,
        path: &FieldPath,
    ) -> Option<DuplicateRules> {
        let at = path.child("replay_protection");
        let replay = match &file.replay_protection {
            Some(ReplayProtectionFile::Word(_)) => None,
            Some(ReplayProtectionFile::Rule(rule)) => self.replay(rule, file.auth.as_ref(), policy, name, &at),
            None if file.auth.as_ref().is_some_and(writes_jwt) => {
                let what = "{ id: { claim: jti } } together with a `store`, or `disabled`: a copied token can be sent again \
                            until it expires";
                self.missing(&at, what);
                None
            }
            None => None,
        };
        let at = path.child("idempotency");
        let idempotency = file.idempotency.as_ref().and_then(|file| self.idempotency(file, &at));
        if replay.is_none() && idempotency.is_none() {
            return None;
        }
        if !self.has_store {
            let what = "`store: { type: memory }` for one process, or embedded or redis, at the top level: replay ids \
                        and idempotency keys are kept there";
            self.missing(&FieldPath::root().child("store"), what);
        }
        Some(DuplicateRules { replay, idempotency, share: self.store_share })
    }

    fn replay(
        &mut self,
        file: &ReplayRuleFile,
        auth: Option<&AuthFile>,
        policy: Option<&mut Policy>,
        name: Option<&Arc<str>>,
        path: &FieldPath,
    ) -> Option<ReplayRule> {
        let ttl = self.ttl(file.ttl.as_ref(), &path.child("ttl"));
        let on_duplicate = match file.on_duplicate {
            Some(OnDuplicateFile::Reject) => OnDuplicate::Reject,
            Some(OnDuplicateFile::Acknowledge) => OnDuplicate::Acknowledge,
            Some(OnDuplicateFile::StoredResponse) => {
                self.problems.add(
                    &path.child("on_duplicate"),
                    "`stored_response` is for idempotency only; use reject or acknowledge",
                );
                OnDuplicate::Reject
            }
            None if auth.is_some_and(of_a_sender_that_retries) => OnDuplicate::Acknowledge,
            None => OnDuplicate::Reject,
        };
        let commit_on = self.commit_on(file.commit_on.as_deref(), &path.child("commit_on"));
        let id = match &file.id {
            None => None,
            Some(id) => Some(self.replay_id(id, &path.child("id"))?),
        };
        let policy = policy?;
        match policy.identify(id.as_ref(), ttl.is_some()) {
            Ok(()) => self.warn_of_late_retries(policy, ttl, path),
            Err(why) => self.no_id(why, path),
        }
        let widened = name.and_then(|name| self.window(name, policy.window()));
        Some(ReplayRule { on_duplicate, ttl, commit_on, widened })
    }

    fn no_id(&mut self, why: NoReplayId, path: &FieldPath) {
        match why {
            NoReplayId::NoId => {
                let message = "a credential of this route contains no signed value that is unique to each request, or \
                               not at this `id`; use another `id`, or `replay_protection: disabled`";
                self.problems.add(path, message);
            }
            NoReplayId::Unsigned => {
                let message = "is not signed: an attacker who replays a request could change it; remove `id`, or write \
                               { hash: true }";
                self.problems.add(&path.child("id"), message);
            }
            NoReplayId::Endless => {
                let message = "how long an id is kept, such as 72h: the credentials of this route do not expire";
                self.missing(&path.child("ttl"), message);
            }
        }
    }

    /// Warns of an id that stays the same when a retry is signed again, which may be after the id was deleted.
    fn warn_of_late_retries(&mut self, policy: &Policy, ttl: Option<Duration>, path: &FieldPath) {
        let stays = |leaf: &&Policy| match leaf {
            Policy::Signature(policy) => {
                policy.time.is_some() && matches!(policy.replay_id, Some(SignatureReplayId::Component(_)))
            }
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::ClientCertificate(_)
            | Policy::Token(_)
            | Policy::AllOf(_)
            | Policy::AnyOf(_)
            | Policy::Public => false,
        };
        if ttl.is_none() && policy.leaves().iter().any(stays) {
            let warning = "a retry that the sender signs again after the signature's maximum age is forwarded a second \
                           time, because its id is no longer kept; set a `ttl` as long as the sender retries";
            self.warnings.push(format!("{path}: {warning}"));
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

    fn ttl(&mut self, text: Option<&crate::config::file::DurationText>, path: &FieldPath) -> Option<Duration> {
        let ttl = self.optional_nonzero_duration(text, path);
        if ttl.is_some_and(|ttl| ttl > MAX_TTL) {
            self.problems.add(path, "must be 366d or less");
        }
        ttl
    }

    fn commit_on(&mut self, texts: Option<&[StatusText]>, path: &FieldPath) -> Vec<Statuses> {
        let Some(texts) = texts else { return vec![Statuses::Class(2), Statuses::Class(3)] };
        if texts.is_empty() {
            self.problems.add(path, "must not be empty: no request would ever be committed; set 2xx or remove the key");
        }
        let mut statuses = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match parse_statuses(text) {
                Some(some) => statuses.push(some),
                None => self.problems.add(&path.index(index), "expected 2xx, 3xx, 4xx or 5xx, or a status such as 202"),
            }
        }
        statuses
    }

    fn replay_id(&mut self, file: &ReplayIdFile, path: &FieldPath) -> Option<ReplayIdSource> {
        match (written(&file.places()).as_slice(), file.hash) {
            ([(key, text)], None) => {
                let locator = self.locator_under(key, text, path)?;
                Some(if let Locator::Claim(pointer) = locator {
                    ReplayIdSource::Claim(pointer)
                } else {
                    ReplayIdSource::Component(Component::Located(locator, Presence::Required))
                })
            }
            ([], Some(true)) => Some(ReplayIdSource::Hash),
            _none_or_several => {
                self.missing(path, "exactly one of claim, header, json, form and `hash: true`");
                None
            }
        }
    }

    fn idempotency(&mut self, file: &IdempotencyFile, path: &FieldPath) -> Option<IdempotencyRule> {
        let ttl = self.ttl(file.ttl.as_ref(), &path.child("ttl")).unwrap_or(KEY_TTL);
        let on_duplicate = match file.on_duplicate {
            None | Some(OnDuplicateFile::StoredResponse) => OnDuplicate::StoredResponse,
            Some(OnDuplicateFile::Reject) => OnDuplicate::Reject,
            Some(OnDuplicateFile::Acknowledge) => OnDuplicate::Acknowledge,
        };
        let at = path.child("key");
        let places = file.key.as_ref().map(IdempotencyKeyFile::places).unwrap_or_default();
        let [(key, text)] = written(&places)[..] else {
            self.missing(&at, "exactly one of header, claim and json, such as { header: Idempotency-Key }");
            return None;
        };
        let key = self.locator_under(key, text, &at)?;
        Some(IdempotencyRule { key, required: file.required == Some(true), ttl, on_duplicate })
    }
}

fn parse_statuses(text: &StatusText) -> Option<Statuses> {
    match text {
        StatusText::Number(number) => Some(Statuses::One(*number)).filter(|_| (200..600).contains(number)),
        StatusText::Class(class) => match class.as_str() {
            "2xx" => Some(Statuses::Class(2)),
            "3xx" => Some(Statuses::Class(3)),
            "4xx" => Some(Statuses::Class(4)),
            "5xx" => Some(Statuses::Class(5)),
            _ => None,
        },
    }
}

/// Whether a route keeps replay ids or idempotency keys.
pub(super) fn remembers(file: &RouteFile) -> bool {
    matches!(file.replay_protection, Some(ReplayProtectionFile::Rule(_))) || file.idempotency.is_some()
}

/// Whether a scheme is the operator's own `jwt`. A preset is exempt: its author knows whether the provider sends a
/// token twice.
fn writes_jwt(auth: &AuthFile) -> bool {
    any_scheme(auth, &|scheme| scheme.jwt.is_some())
}

/// Whether a scheme is a preset whose sender retries after every response that is not a success.
fn of_a_sender_that_retries(auth: &AuthFile) -> bool {
    any_scheme(auth, &|scheme| {
        let preset = scheme.preset.as_deref().and_then(presets::find);
        preset.is_some_and(|preset| !preset.retries.starts_with("never"))
    })
}

fn any_scheme(auth: &AuthFile, holds: &dyn Fn(&AuthScheme) -> bool) -> bool {
    fn below(scheme: &AuthScheme, holds: &dyn Fn(&AuthScheme) -> bool) -> bool {
        let branches = scheme.all_of.iter().chain(&scheme.any_of).flatten();
        holds(scheme) || branches.into_iter().any(|branch| below(branch, holds))
    }
    match auth {
        AuthFile::Word(AuthWord::Public) => false,
        AuthFile::Scheme(scheme) => below(scheme, holds),
    }
}
