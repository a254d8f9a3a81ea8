//! A probe: a request that the endpoint must reject, or a sequence that it must handle.

use super::super::sign::Draft;

/// One check of a rule.
pub(super) struct Probe {
    /// Id of the rule that is broken if the endpoint does otherwise.
    pub(super) rule: &'static str,
    /// The request in words.
    pub(super) name: String,
    pub(super) act: Act,
    /// Whether the endpoint may carry out an event: the request has a valid credential.
    pub(super) side_effects: bool,
    /// Texts that no response may contain, such as the right signature.
    pub(super) secrets: Vec<String>,
}

/// The requests of a probe, with the condition that they must meet.
pub(super) enum Act {
    /// The request must not be accepted.
    Reject(Box<Draft>),
    /// After `first` was accepted, `again` must not be processed.
    Once { first: Box<Draft>, again: Box<Draft> },
    /// The request breaks off in its body. When it is sent whole, it must be accepted.
    Retry(Box<Draft>),
    /// The request must not be accepted at this path if it is rejected at its own.
    Elsewhere(Box<Draft>),
    /// `changed` must not be accepted, unless `base` is.
    Changed { base: Box<Draft>, changed: Box<Draft> },
    /// The request is not well-formed: any response but a server error is right.
    Malformed(Box<Draft>),
    /// The times of the responses to two invalid signatures must not differ.
    Timing { samples: u32 },
    /// A body of 1 GiB, which the head of this request announces, must be rejected.
    BodyLimit(Box<Draft>),
    /// Of 50 times this request, one must get 429.
    RejectionRate(Box<Draft>),
    /// A check of the connection.
    Connection(Check),
}

/// A check of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Certificate,
    CertificateDays,
    OldTls,
    PlainHttp,
    UpstreamDirect,
}

impl Probe {
    pub(super) fn reject(rule: &'static str, name: impl Into<String>, draft: Draft) -> Self {
        Self { rule, name: name.into(), act: Act::Reject(Box::new(draft)), side_effects: false, secrets: Vec::new() }
    }

    pub(super) fn changed(rule: &'static str, name: String, base: Draft, changed: Draft) -> Self {
        let act = Act::Changed { base: Box::new(base), changed: Box::new(changed) };
        Self { rule, name, act, side_effects: false, secrets: Vec::new() }
    }

    pub(super) fn connection(rule: &'static str, name: &str, check: Check) -> Self {
        Self { rule, name: name.to_owned(), act: Act::Connection(check), side_effects: false, secrets: Vec::new() }
    }

    /// The same probe with a credential that a weak endpoint takes for valid.
    pub(super) fn valid(self) -> Self {
        Self { side_effects: true, ..self }
    }
}
