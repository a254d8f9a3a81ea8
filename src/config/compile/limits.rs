//! `limits` of a route: body size, rate limits and concurrency limits.

use super::compiler::Compiler;
use crate::auth::Policy;
use crate::config::error::FieldPath;
use crate::config::file::store::StoreFile;
use crate::config::file::{LimitFile, RateText, RouteLimitsFile};
use crate::config::values::parse_rate;
use crate::route::{Limit, Rate, RouteLimits};

const MAX_BODY: u64 = 1 << 20;

/// Whether there is a store in which replicas can share rate limits.
pub(super) const fn are_shared(store: Option<&StoreFile>) -> bool {
    matches!(store, Some(StoreFile::Redis(_)))
}

impl Compiler<'_> {
    pub(super) fn max_body(&mut self, file: Option<&RouteLimitsFile>, path: &FieldPath) -> u64 {
        self.size(file.and_then(|file| file.max_body_size.as_ref()), &path.child("max_body_size"), MAX_BODY)
    }

    pub(super) fn route_limits(&mut self, file: Option<&RouteLimitsFile>, path: &FieldPath) -> RouteLimits {
        let Some(file) = file else { return RouteLimits::default() };
        let shared = file.shared.unwrap_or_default();
        if shared && !self.shares_limits {
            self.problems
                .add(&path.child("shared"), "requires a `store` of type redis; remove it to count in this process");
        }
        let all = LimitFile { rate: file.rate.clone(), burst: file.burst, concurrency: file.concurrency };
        RouteLimits {
            route: self.limit(Some(&all), path),
            issuer: self.limit(file.per_issuer.as_ref(), &path.child("per_issuer")),
            subject: self.limit(file.per_subject.as_ref(), &path.child("per_subject")),
            failed_auth: self.rate(file.failed_auth_rate.as_ref(), None, &path.child("failed_auth_rate")),
            shared,
        }
    }

    fn limit(&mut self, file: Option<&LimitFile>, path: &FieldPath) -> Limit {
        let Some(file) = file else { return Limit::default() };
        self.burst(file, &path.child("burst"));
        let rate = self.rate(file.rate.as_ref(), file.burst, &path.child("rate"));
        let concurrency = file.concurrency.map(|most| self.count(Some(most), &path.child("concurrency"), most));
        Limit { rate, concurrency }
    }

    fn burst(&mut self, file: &LimitFile, path: &FieldPath) {
        let Some(burst) = file.burst else { return };
        if file.rate.is_none() {
            self.problems.add(path, "requires `rate`; set it too, such as 100/s, or remove this key");
        }
        if !(1..=Rate::MAX).contains(&burst) {
            self.problems.add(path, format!("must be from 1 to {}", Rate::MAX));
        }
    }

    fn rate(&mut self, text: Option<&RateText>, burst: Option<u32>, path: &FieldPath) -> Option<Rate> {
        let parsed = parse_rate(&text?.0);
        if parsed.is_none() {
            let expected = "expected a rate: a whole number from 1 to 1000000 and /s, /m or /h, such as 100/s";
            self.problems.add(path, expected);
        }
        parsed.map(|(count, seconds)| Rate::new(count, seconds, burst.unwrap_or(count)))
    }

    /// Warns of `per_subject` on a route without JWTs: only JWTs have a subject.
    pub(super) fn warn_of_no_subject(&mut self, limits: &RouteLimits, policy: &Policy, path: &FieldPath) {
        let names_one = policy.leaves().into_iter().any(|leaf| matches!(leaf, Policy::Jwt(_)));
        if limits.subject != Limit::default() && !names_one {
            let warning = "no scheme of this route identifies subjects: limits.per_subject counts all requests of an issuer together";
            self.warnings.push(format!("{path}: {warning}"));
        }
    }
}
