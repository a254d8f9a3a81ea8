//! Knowledge about the endpoint: nothing, a captured request, or the key of the sender.

use std::path::Path;

use anyhow::Context;
use http::{HeaderName, Method};

use super::super::explain::message;
use super::super::sign::Draft;
use super::arguments::AuditArguments;
use super::catalogue::Depth;
use super::credential::{is_context, is_credential_name, without_query_credentials};
use super::signer::{RequestSigner, event_body, renew_ids};
use super::target::Target;
use crate::clock::{Clock, SystemClock};

/// Knowledge about the endpoint.
pub(super) struct Knowledge {
    /// A request without a credential.
    pub(super) blank: Draft,
    /// A request with a credential.
    pub(super) source: Source,
    /// Names of the headers that carry the credential, in lower case.
    pub(super) credentials: Vec<String>,
    /// Secrets that no response may contain and no report may show.
    pub(super) secrets: Vec<String>,
    /// The preset of the sender, if the arguments name one.
    pub(super) preset: Option<String>,
}

/// Where requests with a credential come from.
pub(super) enum Source {
    /// From nowhere.
    Nothing,
    /// From a file.
    Captured(Box<Draft>),
    /// They are signed.
    Signer(Box<RequestSigner>),
}

impl Knowledge {
    pub(super) fn new(arguments: &AuditArguments, target: &Target) -> anyhow::Result<Self> {
        let mut blank = Draft {
            method: Method::POST,
            gateway: target.origin.clone(),
            host: target.authority.clone(),
            target: target.path.clone(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: event_body(),
        };
        if let Some(path) = &arguments.body {
            blank.body = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        }
        let headers = headers(arguments)?;
        add(&mut blank, &headers);
        let source = match (&arguments.request, RequestSigner::new(arguments, target, &blank)?) {
            (Some(path), _) => {
                let body = arguments.body.as_ref().map(|_| blank.body.as_slice());
                let mut captured = captured(path, body, target)?;
                add(&mut captured, &headers);
                Source::Captured(Box::new(captured))
            }
            (None, Some(signer)) => Source::Signer(Box::new(signer)),
            (None, None) => Source::Nothing,
        };
        let credentials = match &source {
            Source::Nothing => Vec::new(),
            Source::Captured(good) => credentials(&good.headers),
            Source::Signer(signer) => {
                let added = signer.genuine()?.headers.into_iter();
                credentials(
                    &added
                        .filter(|(name, _)| !blank.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)))
                        .collect::<Vec<_>>(),
                )
            }
        };
        let blank = without_credential(blank, &source, arguments.allow_side_effects)?;
        let secrets = match &source {
            Source::Signer(signer) => signer.secrets(),
            Source::Captured(_) | Source::Nothing => Vec::new(),
        };
        Ok(Self { blank, source, credentials, secrets, preset: arguments.preset.clone() })
    }

    pub(super) const fn depth(&self) -> Depth {
        match self.source {
            Source::Nothing => Depth::Blind,
            Source::Captured(_) => Depth::Captured,
            Source::Signer(_) => Depth::Key,
        }
    }

    /// A request that the endpoint should accept; a new event if it can be signed.
    pub(super) fn good(&self) -> anyhow::Result<Option<Draft>> {
        match &self.source {
            Source::Nothing => Ok(None),
            Source::Captured(draft) => Ok(Some((**draft).clone())),
            Source::Signer(signer) => signer.genuine().map(Some),
        }
    }

    /// Whether good requests have one body, so that a duplicate of the first one looks like a new event.
    pub(super) fn has_one_body(&self) -> bool {
        match &self.source {
            Source::Nothing | Source::Captured(_) => true,
            Source::Signer(signer) => signer.has_one_body(),
        }
    }

    /// Whether this header carries the credential.
    pub(super) fn is_credential(&self, name: &str) -> bool {
        self.credentials.iter().any(|known| known == name)
    }
}

/// Unix time in seconds.
pub(super) fn now() -> u64 {
    SystemClock.now().seconds()
}

/// A request without a credential. A captured body may contain one, as a signed form does: it stays only if valid requests
/// are allowed.
fn without_credential(blank: Draft, source: &Source, allow_side_effects: bool) -> anyhow::Result<Draft> {
    let mut draft = match source {
        Source::Nothing => blank,
        Source::Captured(captured) => {
            let mut draft = (**captured).clone();
            draft.headers.retain(|(name, _)| is_context(name));
            if !allow_side_effects {
                draft.set_header(&HeaderName::from_static("content-type"), "application/json");
                draft.body = blank.body;
            }
            renew_ids(&mut draft);
            draft
        }
        Source::Signer(signer) => {
            let mut draft = signer.draft();
            let signed = signer.genuine()?.headers.into_iter().filter(|(name, _)| is_context(name));
            for (name, value) in signed {
                draft.set_header(&name.parse()?, value);
            }
            draft
        }
    };
    draft.target = without_query_credentials(&draft.target);
    Ok(draft)
}

/// The headers of `--header`.
fn headers(arguments: &AuditArguments) -> anyhow::Result<Vec<(HeaderName, String)>> {
    let parsed = arguments.headers.iter().map(|header| {
        let (name, value) =
            header.split_once(':').with_context(|| format!("--header {header}: expected NAME: VALUE"))?;
        let name = name.trim().parse().with_context(|| format!("--header {header}: not the name of a header"))?;
        Ok((name, value.trim().to_owned()))
    });
    parsed.collect()
}

fn add(draft: &mut Draft, headers: &[(HeaderName, String)]) {
    for (name, value) in headers {
        match name {
            &http::header::HOST => draft.host.clone_from(value),
            name => draft.set_header(name, value.as_str()),
        }
    }
}

fn captured(path: &Path, body: Option<&[u8]>, target: &Target) -> anyhow::Result<Draft> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let captured = message::read(&bytes, body).with_context(|| path.display().to_string())?;
    let dropped = ["host", "content-length", "connection", "transfer-encoding", "accept-encoding", "expect"];
    let headers = captured.head.headers.iter().filter(|(name, _)| !dropped.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| Ok((name.as_str().to_owned(), value.to_str()?.to_owned())));
    Ok(Draft {
        method: captured.head.method.clone(),
        gateway: target.origin.clone(),
        host: target.authority.clone(),
        target: target.path.clone(),
        headers: headers.collect::<anyhow::Result<_>>()?,
        body: captured.body,
    })
}

/// The headers that carry a credential: those with such a name, or else all that are not about the event.
fn credentials(headers: &[(String, String)]) -> Vec<String> {
    let names = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).filter(|name| !is_context(name));
    let all: Vec<String> = names.collect();
    let likely: Vec<String> = all.iter().filter(|name| is_credential_name(name)).cloned().collect();
    if likely.is_empty() { all } else { likely }
}
