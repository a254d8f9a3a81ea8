//! Knowledge about the endpoint: nothing, a captured request, or the key of the sender.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use http::{HeaderName, Method};
use zeroize::Zeroizing;

use super::super::arguments::find_route;
use super::super::explain::message;
use super::super::sign::{Draft, Keyring, fill, kid_beside, random_id};
use super::arguments::AuditArguments;
use super::catalogue::Depth;
use super::target::Target;
use crate::auth::Policy;
use crate::auth::locator::Locator;
use crate::auth::signature::{Component, SignaturePolicy};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Handles, Sources, compile};
use crate::route::Route;

/// Knowledge about the endpoint.
pub(super) struct Knowledge {
    /// A request without a credential.
    pub(super) blank: Draft,
    /// A request with a credential.
    pub(super) source: Source,
    /// Names of the headers that carry the credential, in lower case.
    pub(super) credentials: Vec<String>,
    /// Unix time in seconds.
    pub(super) now: u64,
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

/// Signs requests as the sender does.
pub(super) struct RequestSigner {
    pub(super) route: Arc<Route>,
    blank: Draft,
    key: std::path::PathBuf,
    kid: Option<String>,
    /// Whether the body is that of the user, which stays as it is.
    is_fixed: bool,
    now: u64,
}

impl Knowledge {
    pub(super) fn new(arguments: &AuditArguments, target: &Target) -> anyhow::Result<Self> {
        let now = SystemClock.now().seconds();
        let mut blank = Draft {
            method: Method::POST,
            gateway: target.origin.clone(),
            host: target.authority.clone(),
            target: target.path.clone(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: br#"{"id":"hookgate-audit","type":"hookgate.audit"}"#.to_vec(),
        };
        if let Some(path) = &arguments.body {
            blank.body = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        }
        for header in &arguments.headers {
            let (name, value) =
                header.split_once(':').with_context(|| format!("--header {header}: expected NAME: VALUE"))?;
            blank.set_header(&name.trim().parse()?, value.trim());
        }
        let source = match (&arguments.request, route(arguments, target)?) {
            (Some(path), None) => Source::Captured(Box::new(captured(path, target)?)),
            (None, Some(route)) => Source::Signer(Box::new(RequestSigner {
                route,
                blank: blank.clone(),
                kid: arguments.kid.clone().or_else(|| kid_beside(&arguments.key)),
                key: arguments.key.clone(),
                is_fixed: arguments.body.is_some(),
                now,
            })),
            (None, None) => Source::Nothing,
            (Some(_), Some(_)) => bail!("--request gives a captured request: it cannot be used with a key"),
        };
        let good = match &source {
            Source::Nothing => None,
            Source::Captured(draft) => Some((**draft).clone()),
            Source::Signer(signer) => Some(signer.genuine()?),
        };
        let credentials = good.as_ref().map(|good| credentials(&blank, good)).unwrap_or_default();
        if let Some(good) = &good {
            blank = good.clone();
            blank.headers.retain(|(name, _)| !credentials.contains(name));
            renew_ids(&mut blank);
        }
        Ok(Self { blank, source, credentials, now })
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
}

impl RequestSigner {
    /// A valid request with an id of its own.
    pub(super) fn genuine(&self) -> anyhow::Result<Draft> {
        self.at(0)
    }

    /// A request that was signed so many seconds from now.
    pub(super) fn at(&self, seconds: i64) -> anyhow::Result<Draft> {
        self.sign(&self.route, self.draft(), seconds)
    }

    /// A request that is signed by a changed policy.
    pub(super) fn by(&self, change: impl FnOnce(&mut Policy)) -> anyhow::Result<Draft> {
        let mut route = (*self.route).clone();
        change(&mut route.rules.policy);
        self.sign(&Arc::new(route), self.draft(), 0)
    }

    /// An unsigned request with an id of its own.
    pub(super) fn draft(&self) -> Draft {
        let mut draft = self.blank.clone();
        if !self.is_fixed {
            draft.body = format!(r#"{{"id":"evt_{}","type":"hookgate.audit"}}"#, random_id()).into_bytes();
        }
        for (_, value) in draft.headers.iter_mut().filter(|(name, _)| is_event_id(name)) {
            *value = random_id();
        }
        self.add_event_headers(&mut draft);
        let id = find_signature(&self.route.rules.policy).and_then(|signature| signature.id.as_ref());
        if let (Some(Component::Located(locator, _)), false) = (id, self.is_fixed) {
            // A place that cannot be filled is reported when the request is signed.
            let _ = draft.place(locator, format!("evt_{}", random_id()));
        }
        draft
    }

    /// GitHub's receivers ask for the name and the id of the delivery.
    fn add_event_headers(&self, draft: &mut Draft) {
        let signature = find_signature(&self.route.rules.policy);
        let places = signature.map(|signature| signature.places.as_slice()).unwrap_or_default();
        let is_github =
            |place: &Locator| matches!(place, Locator::Header { name, .. } if name == "x-hub-signature-256");
        if !places.iter().any(is_github) {
            return;
        }
        for (name, value) in [("x-github-event", "ping".to_owned()), ("x-github-delivery", random_id())] {
            let name = HeaderName::from_static(name);
            if !draft.has_header(&name) {
                draft.set_header(&name, value);
            }
        }
    }

    pub(super) fn keys(&self, seconds: i64) -> Keyring {
        Keyring {
            key: self.key.clone(),
            kid: self.kid.clone(),
            chain: None,
            claims: Vec::new(),
            now: self.now.saturating_add_signed(seconds),
        }
    }

    pub(super) fn sign(&self, route: &Arc<Route>, mut draft: Draft, seconds: i64) -> anyhow::Result<Draft> {
        fill(route, &mut draft, &self.keys(seconds))?;
        Ok(draft)
    }
}

/// Gives the request an id that no request had: the response to a duplicate says nothing about its credential.
fn renew_ids(draft: &mut Draft) {
    for (_, value) in draft.headers.iter_mut().filter(|(name, _)| is_event_id(name)) {
        *value = random_id();
    }
    if let Ok(serde_json::Value::Object(mut members)) = serde_json::from_slice(&draft.body)
        && let Some(id) = members.get_mut("id").filter(|id| id.is_string())
    {
        *id = format!("evt_{}", random_id()).into();
        draft.body = serde_json::Value::Object(members).to_string().into_bytes();
    }
}

/// Whether a header usually carries the id of an event.
pub(super) fn is_event_id(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("-id") || name.contains("delivery") || name.contains("idempotency")
}

/// The first signature scheme of a policy.
pub(super) fn find_signature(policy: &Policy) -> Option<&SignaturePolicy> {
    match policy {
        Policy::Signature(signature) => Some(signature),
        Policy::AllOf(policies) | Policy::AnyOf(policies) => policies.iter().find_map(find_signature),
        Policy::Jwt(_)
        | Policy::Detached(_)
        | Policy::MessageSignature(_)
        | Policy::ClientCertificate(_)
        | Policy::Token(_)
        | Policy::Public => None,
    }
}

/// The route whose rules the sender follows.
fn route(arguments: &AuditArguments, target: &Target) -> anyhow::Result<Option<Arc<Route>>> {
    if let Some(preset) = &arguments.preset {
        return of_preset(preset, &secret(arguments)?, target).map(Some);
    }
    let Some(path) = &arguments.config else { return Ok(None) };
    let config = config::load(path, &Handles::default())?;
    let mut route = (*find_route(&config, arguments.route.as_deref())?).clone();
    // The sender signs the URL under audit.
    route.matches.host = None;
    Ok(Some(Arc::new(route)))
}

fn secret(arguments: &AuditArguments) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    match (&arguments.secret, &arguments.secret_env) {
        (Some(path), _) => {
            Ok(Zeroizing::new(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?))
        }
        (None, Some(name)) => {
            let value = std::env::var(name).with_context(|| format!("environment variable {name}"))?;
            Ok(Zeroizing::new(value.into_bytes()))
        }
        (None, None) => bail!("--preset needs the secret: --secret FILE or --secret-env NAME"),
    }
}

/// A route of one preset, for signing.
fn of_preset(preset: &str, secret: &[u8], target: &Target) -> anyhow::Result<Arc<Route>> {
    let text = serde_json::json!({
        "listeners": [{"address": "127.0.0.1:1", "plaintext": true}],
        "routes": [{
            "name": "audit",
            "match": {"path": target.path.split('?').next()},
            "public_url": target.origin,
            "upstream": {"url": "http://127.0.0.1:2"},
            "auth": {"preset": preset, "secret": {"file": "secret"}},
        }],
    });
    let files = BTreeMap::from([("secret".to_owned(), Ok(Zeroizing::new(secret.to_vec())))]);
    let sources = Sources::in_memory("--preset".into(), text.to_string(), files);
    find_route(&compile(&sources, &Handles::default())?, None)
}

fn captured(path: &Path, target: &Target) -> anyhow::Result<Draft> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let captured = message::read(&bytes, None).with_context(|| path.display().to_string())?;
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

/// The headers that `good` has in addition; of a captured request, those that a credential is usually in.
fn credentials(blank: &Draft, good: &Draft) -> Vec<String> {
    let signs = |name: &str| {
        ["authorization", "signature", "hmac", "token", "jwt", "digest"].iter().any(|word| name.contains(word))
    };
    let names = good.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let added: Vec<String> = names.filter(|name| !blank.headers.iter().any(|(known, _)| known == name)).collect();
    let likely: Vec<String> = added.iter().filter(|name| signs(name)).cloned().collect();
    if likely.is_empty() { added } else { likely }
}
