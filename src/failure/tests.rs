use super::*;

/// RFC 8935 §2.4: one of six errors for each decision, and none where the gateway cannot decide.
#[test]
fn every_reason_has_its_error_code_of_rfc_8935() {
    let words = [
        "invalid_request",
        "invalid_key",
        "invalid_issuer",
        "invalid_audience",
        "authentication_failed",
        "access_denied",
    ];
    for reason in Reason::ALL {
        let failure = Failure::Rejected(Rejection::at_once(*reason));
        let told = failure.secevent().filter(|(status, word)| status.as_u16() == 400 && words.contains(word));
        assert_eq!(told.is_none(), failure.is_undecided(), "{reason:?}");
    }
    for failure in [
        Failure::BufferFull(Exhausted::Total),
        Failure::RateLimited(Limited::default()),
        Failure::Body(BodyFault::TooLarge),
    ] {
        assert_eq!(failure.secevent(), None);
    }
}

/// A reason stands for one status: `store_unavailable` is the only one with two variants.
#[test]
fn every_reason_has_one_status() {
    let mut seen = std::collections::BTreeMap::new();
    for (reason, status) in Failure::reasons() {
        assert_eq!(*seen.entry(reason).or_insert(status), status, "{reason}");
    }
    assert!(seen.len() > 50, "{}", seen.len());
}

#[test]
fn only_the_reasons_of_exhausted_memory_have_a_detail() {
    let detailed = |exhausted| {
        [Failure::BufferFull(exhausted), Failure::TooManyWaitingRequests(exhausted)].map(|failure| failure.detail())
    };
    assert_eq!(detailed(Exhausted::Total), [Some("total"); 2]);
    assert_eq!(detailed(Exhausted::Address), [Some("address"); 2]);
    assert_eq!(Failure::BadRequest.detail(), None);
}
