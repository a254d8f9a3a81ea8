//! Signs requests as the sender does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use zeroize::Zeroizing;

use super::super::arguments::find_route;
use super::super::sign::{Draft, Keyring, fill, kid_beside, random_id};
use super::arguments::AuditArguments;
use super::credential::is_event_id;
use super::target::Target;
use crate::auth::locator::Locator;
use crate::auth::secret::SecretKey;
use crate::auth::signature::{Component, SignaturePolicy};
use crate::auth::{Policy, Rules};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Handles, Sources, compile};
use crate::route::Route;

/// Signs requests as the sender does.
pub(super) struct RequestSigner {
    pub(super) route: Arc<Route>,
    blank: Draft,
    key: PathBuf,
    kid: Option<String>,
    /// Whether the body is that of the user.
    is_fixed: bool,
}

impl RequestSigner {
    /// The signer of a preset or of a route, if the arguments name one.
    pub(super) fn new(arguments: &AuditArguments, target: &Target, blank: &Draft) -> anyhow::Result<Option<Self>> {
        let Some(route) = route(arguments, target)? else { return Ok(None) };
        Ok(Some(Self {
            route,
            blank: blank.clone(),
            kid: arguments.kid.clone().or_else(|| kid_beside(&arguments.key)),
            key: arguments.key.clone(),
            is_fixed: arguments.body.is_some(),
        }))
    }

    /// A valid request with an id of its own.
    pub(super) fn genuine(&self) -> anyhow::Result<Draft> {
        self.at(0)
    }

    /// A request that was signed so many seconds from now.
    pub(super) fn at(&self, seconds: i64) -> anyhow::Result<Draft> {
        self.sign(&self.route, self.draft(), seconds)
    }

    /// A request that is signed by changed rules.
    pub(super) fn by(&self, change: impl FnOnce(&mut Rules)) -> anyhow::Result<Draft> {
        let mut route = (*self.route).clone();
        change(&mut route.rules);
        self.sign(&Arc::new(route), self.draft(), 0)
    }

    /// An unsigned request with an id of its own: also that of a given body is renewed.
    pub(super) fn draft(&self) -> Draft {
        let mut draft = self.blank.clone();
        if !self.is_fixed {
            draft.body = event_body();
        }
        renew_ids(&mut draft);
        if self.is_fixed && draft.body == self.blank.body {
            add_id(&mut draft);
        }
        self.add_event_headers(&mut draft);
        let id = self.signature().and_then(|signature| signature.id.as_ref());
        if let Some(Component::Located(locator, _)) = id {
            // A place that cannot be filled is reported when the request is signed.
            let _ = draft.place(locator, format!("evt_{}", random_id()));
        }
        draft
    }

    /// Whether each request has the same body, which has no id that could be renewed.
    pub(super) fn has_one_body(&self) -> bool {
        self.is_fixed && self.draft().body == self.draft().body
    }

    /// The first signature scheme of the route.
    pub(super) fn signature(&self) -> Option<&SignaturePolicy> {
        let mut leaves = self.route.rules.policy.leaves().into_iter();
        leaves.find_map(|leaf| if let Policy::Signature(policy) = leaf { Some(&**policy) } else { None })
    }

    /// GitHub's receivers ask for the name and the id of the delivery.
    fn add_event_headers(&self, draft: &mut Draft) {
        let places = self.signature().map(|signature| signature.places.as_slice()).unwrap_or_default();
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
            now: SystemClock.now().seconds().saturating_add_signed(seconds),
        }
    }

    pub(super) fn sign(&self, route: &Arc<Route>, mut draft: Draft, seconds: i64) -> anyhow::Result<Draft> {
        fill(route, &mut draft, &self.keys(seconds))?;
        Ok(draft)
    }

    /// The shared secrets in each form in which a response could contain them.
    pub(super) fn secrets(&self) -> Vec<String> {
        let secrets = self.signature().map(|signature| signature.secrets.of(None));
        let mut texts = Vec::new();
        for secret in secrets.iter().flat_map(|secrets| secrets.iter()) {
            let SecretKey::Shared(bytes) = &secret.key else { continue };
            texts.extend([
                String::from_utf8_lossy(bytes).into_owned(),
                hex::encode(&**bytes),
                STANDARD.encode(&**bytes),
            ]);
        }
        texts.retain(|text| text.len() >= 8);
        texts
    }
}

/// Gives the request an id that no request had: the response to a duplicate says nothing about its credential.
pub(super) fn renew_ids(draft: &mut Draft) {
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

/// Adds the member `audit_id` to a JSON object, so that no two events are the same.
fn add_id(draft: &mut Draft) {
    if let Ok(serde_json::Value::Object(mut members)) = serde_json::from_slice(&draft.body) {
        members.insert("audit_id".to_owned(), random_id().into());
        draft.body = serde_json::Value::Object(members).to_string().into_bytes();
    }
}

/// The body of an event with an id of its own.
pub(super) fn event_body() -> Vec<u8> {
    format!(r#"{{"id":"evt_{}","type":"test.event"}}"#, random_id()).into_bytes()
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
pub(super) fn of_preset(preset: &str, secret: &[u8], target: &Target) -> anyhow::Result<Arc<Route>> {
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
