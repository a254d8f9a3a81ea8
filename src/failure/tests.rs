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
    for reason in Reason::ALL.iter().copied() {
        let error = Failure::Plain(reason).secevent();
        assert!(error.is_none_or(|(status, word)| status.as_u16() == 400 && words.contains(&word)), "{reason:?}");
        // The status of a wrong credential, of a missing permission, or one that asks for a retry.
        match status(reason).as_u16() {
            401 | 403 => assert!(error.is_some(), "{reason:?}"),
            400 | 431 => {}
            _other => assert_eq!(error, None, "{reason:?}"),
        }
    }
    for reason in [Reason::MalformedCredential, Reason::MalformedBody, Reason::MissingClaim] {
        assert_eq!(secevent_error(reason), Some("invalid_request"));
    }
}

/// A word stands for one reason, and so for one status.
#[test]
fn every_reason_has_one_status() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    assert!(words.len() > 50, "{}", words.len());
}

#[test]
fn exhausted_memory_and_rejected_credentials_have_a_detail() {
    let detailed = |exhausted| {
        [Failure::BufferFull(exhausted), Failure::TooManyWaitingRequests(exhausted)].map(|failure| failure.detail())
    };
    assert_eq!(detailed(Exhausted::Total), [Some("total".into()), Some("total".into())]);
    assert_eq!(detailed(Exhausted::Address), [Some("address".into()), Some("address".into())]);
    let rejection = Rejection { detail: Some("no `sub`".into()), ..Rejection::from(Reason::MissingClaim) };
    assert_eq!(Failure::Rejected(rejection).detail(), Some("no `sub`".into()));
    let methods = Unrouted::MethodNotAllowed(vec![http::Method::POST, http::Method::PUT]);
    assert_eq!(Failure::Unrouted(methods).detail(), Some("the routes of this path have POST, PUT".into()));
    assert_eq!(Failure::Plain(Reason::BadRequest).detail(), None);
}
