use std::time::Duration;

use super::*;
use crate::route::Limit;

fn often(count: u32, burst: u32) -> Limit {
    Limit { rate: Some(Rate::new(count, 3600, burst)), concurrency: None }
}

fn at_once(most: u32) -> Limit {
    Limit { rate: None, concurrency: Some(most) }
}

fn sender<'a>(issuer: &'a str, subject: &'a str) -> RequestSender<'a> {
    RequestSender { route: "webhook", issuer: Some(issuer), subject: Some(subject), sender: None }
}

/// The number of requests that pass, of `requests` at one time.
fn passed(counted: &RequestLimits, limits: &RouteLimits, sender: &RequestSender<'_>, requests: usize) -> usize {
    (0..requests).filter(|_| counted.admit(sender, limits, || counted.begun).is_ok()).count()
}

#[test]
fn each_subject_has_its_budget_and_all_of_an_issuer_have_one() {
    let counted = RequestLimits::default();
    let limits = RouteLimits { subject: often(1, 2), issuer: often(1, 5), ..RouteLimits::default() };
    let requests = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")];
    let passed = requests.map(|(issuer, subject)| passed(&counted, &limits, &sender(issuer, subject), 9));
    assert_eq!(passed, [2, 2, 1, 2]);
}

#[test]
fn names_do_not_run_into_each_other() {
    let counted = RequestLimits::default();
    let limits = RouteLimits { subject: often(1, 1), ..RouteLimits::default() };
    let senders = [
        sender("ab", "c"),
        sender("a", "bc"),
        sender("", "abc"),
        RequestSender { subject: None, ..sender("abc", "") },
        RequestSender { issuer: None, subject: None, sender: None, route: "webhook" },
        RequestSender { route: "other", ..sender("ab", "c") },
    ];
    assert!(senders.iter().all(|sender| passed(&counted, &limits, sender, 9) == 1));
}

/// Otherwise one sender that keeps sending could lock out all others.
#[test]
fn a_request_rejected_by_its_subject_s_budget_costs_the_route_nothing() {
    let counted = RequestLimits::default();
    let limits = RouteLimits { route: often(1, 3), subject: often(1, 1), ..RouteLimits::default() };
    let passed = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]
        .map(|(issuer, subject)| passed(&counted, &limits, &sender(issuer, subject), 50));
    assert_eq!(passed, [1, 1, 1, 0]);
}

#[test]
fn a_request_rejected_by_the_route_s_budget_costs_its_subject_nothing() {
    let counted = RequestLimits::default();
    let limits = RouteLimits { route: often(3600, 1), subject: often(1, 2), ..RouteLimits::default() };
    let a = sender("a", "1");
    assert_eq!(passed(&counted, &limits, &a, 50), 1);
    assert!(counted.admit(&a, &limits, || counted.begun + Duration::from_secs(1)).is_ok());
}

#[test]
fn a_dropped_permit_is_available_again() {
    let counted = RequestLimits::default();
    let limits = RouteLimits { route: at_once(3), issuer: at_once(2), subject: at_once(1), ..RouteLimits::default() };
    let enter = |issuer, subject| {
        counted.admit(&sender(issuer, subject), &limits, || counted.begun).map_err(|failure| {
            assert!(matches!(failure, Failure::ConcurrencyLimited(_)));
            failure.limited().unwrap().limit
        })
    };
    let one = enter("a", "1").unwrap();
    assert_eq!(enter("a", "1").unwrap_err(), "subject");
    let _two = enter("a", "2").unwrap();
    assert_eq!(enter("a", "3").unwrap_err(), "issuer");
    let _three = enter("b", "1").unwrap();
    assert_eq!(enter("c", "1").unwrap_err(), "route");
    drop(one);
    drop(enter("a", "1").unwrap());
    drop((_two, _three));
    assert_eq!(counted.in_flight.sum(|shard| shard.keys()), 0);
}

#[test]
fn a_rate_limited_request_takes_no_permit() {
    let counted = RequestLimits::default();
    let route = Limit { concurrency: Some(9), ..often(1, 1) };
    let limits = RouteLimits { route, ..RouteLimits::default() };
    let held = counted.admit(&sender("a", "1"), &limits, || counted.begun).unwrap();
    assert!(matches!(counted.admit(&sender("a", "1"), &limits, || counted.begun), Err(Failure::RateLimited(_))));
    drop(held);
    assert_eq!(counted.in_flight.sum(|shard| shard.keys()), 0);
}

#[test]
fn an_address_is_charged_for_rejections_alone_and_a_64_is_one_address() {
    let counted = RequestLimits::default();
    let limits = RouteLimits { failed_auth: Some(Rate::new(1, 3600, 2)), ..RouteLimits::default() };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let check_ip_rate = |text| counted.check_ip_rate("webhook", &limits, address(text), || counted.begun);
    assert!((0..9).all(|_| check_ip_rate("2001:db8::1").is_ok()));
    for last in 1..=2 {
        assert!(check_ip_rate("2001:db8::1").is_ok());
        counted.penalize("webhook", &limits, address(&format!("2001:db8::{last}")), || counted.begun);
    }
    let limited = Limited { limit: "failed_auth", quota: 2, window: Some(7200), retry_after: 3600 };
    assert_eq!(check_ip_rate("2001:db8::3"), Err(limited));
    assert!(check_ip_rate("2001:db8:0:1::1").is_ok() && check_ip_rate("192.0.2.1").is_ok());
    assert!(counted.check_ip_rate("other", &limits, address("2001:db8::1"), || counted.begun).is_ok());
}

/// Subjects beyond the maximum number of keys are rejected; addresses beyond it pass, or unauthenticated clients could
/// lock out every sender.
#[test]
fn uncountable_requests_are_rejected_on_verified_routes_and_pass_on_public_ones() {
    let counted = RequestLimits::default();
    let limits =
        RouteLimits { subject: often(1, 1), failed_auth: Some(Rate::new(1, 3600, 1)), ..RouteLimits::default() };
    let subjects = (0..200_000_u32).map(|number| number.to_string());
    let first_rejected = subjects
        .into_iter()
        .find_map(|subject| counted.admit(&sender("a", &subject), &limits, || counted.begun).err()?.limited().copied());
    assert_eq!(first_rejected.map(|limited| (limited.limit, limited.retry_after)), Some(("subject", 1)));
    for number in 0..200_000_u32 {
        let address = IpAddr::from(number.to_be_bytes());
        assert!(counted.check_ip_rate("webhook", &limits, address, || counted.begun).is_ok());
        counted.penalize("webhook", &limits, address, || counted.begun);
    }
    assert!(counted.failed_auth.len() < 200_000);
}
