//! `limits` of a route: rate limits and concurrency limits.

use super::compiler::Compiler;
use crate::auth::Policy;
use crate::config::file::{Burst, Concurrency, LimitYaml, RateField, RatePerSeconds, RouteYaml};
use crate::config::reader::{Field, Location, Section};
use crate::route::{Limit, REDUCED_MAX_BODY, Rate, RouteLimits};

impl Compiler<'_> {
    pub(super) fn route_limits(&mut self, route: &RouteYaml) -> RouteLimits {
        let file = &route.limits;
        if file.shared.get() && !self.file.has_shared_store() {
            let problem = "requires a `store` of type redis; remove it to count in this process";
            self.problems.add(file.shared.at, problem);
        }
        RouteLimits {
            route: self.limit(&file.rate, &file.burst, &file.concurrency),
            issuer: self.limit_of_each(&file.per_issuer),
            subject: self.limit_of_each(&file.per_subject),
            sender: self.limit_of_each(&file.per_sender),
            failed_auth: rate(&file.failed_auth_rate, None),
            shared: file.shared.get(),
        }
    }

    fn limit_of_each(&mut self, file: &Field<LimitYaml>) -> Limit {
        let limit = file.value().map(|file| self.limit(&file.rate, &file.burst, &file.concurrency));
        limit.unwrap_or_default()
    }

    fn limit(&mut self, per_time: &RateField, burst: &Burst, concurrency: &Concurrency) -> Limit {
        if burst.is_written() && !per_time.is_written() {
            self.problems.add_unless_known(burst.at, "requires `rate`; set it too, such as 100/s, or remove this key");
        }
        Limit { rate: rate(per_time, burst.number()), concurrency: concurrency.number() }
    }

    /// Warns of `failed_auth_rate` on a route of a provider, whose other customers can exhaust it.
    pub(super) fn warn_of_shared_addresses(&mut self, preset: &str, at: Location) {
        let warning = format!(
            "all customers of {preset} usually share its addresses, and any of them can exhaust this rate: beyond it, \
             bodies over {} KiB are rejected with 429 before they are verified",
            REDUCED_MAX_BODY >> 10
        );
        self.warn(at, &warning);
    }

    /// Warns of `per_subject` on a route without JWTs: only JWTs have a subject.
    pub(super) fn warn_of_no_subject(&mut self, limits: &RouteLimits, policy: &Policy, route: &Section<RouteYaml>) {
        let names_one = policy.leaves().into_iter().any(|leaf| matches!(leaf, Policy::Jwt(_)));
        if limits.subject != Limit::default() && !names_one {
            let warning = "no scheme of this route identifies subjects: limits.per_subject counts all requests of an issuer together";
            self.warn(route.at, warning);
        }
    }
}

fn rate(field: &RateField, burst: Option<u32>) -> Option<Rate> {
    let RatePerSeconds(count, seconds) = **field.value()?;
    Some(Rate::new(count, seconds, burst.unwrap_or(count)))
}
