//! Flags and answers on the terminal → [`Answers`], and the files that belong to them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use super::arguments::{IncompleteArguments, InitArguments, ReplaySwitch};
use super::certificate::{listen, tls};
use super::checks;
use super::interview::{Interview, Question};
use super::new_files::{NewContents, PRIVATE, PUBLIC, add, named};
use super::template::{
    self, Answers, DEV_ISSUER, EndpointUrl, JwtAnswers, KeySetSource, PresetAnswers, SchemeAnswers, TlsAnswer,
    shows_token,
};
use crate::cli::dev::DevIssuer;
use crate::cli::presets::{page, unknown};
use crate::config::file::SecretEncoding;
use crate::config::file::preset::{PresetParameterYaml, PresetYaml};
use crate::config::values::parse_public_url;

/// Files of the development issuer, in the folder that `dev-certs` and `sign` use.
const ISSUER_KEYS: &str = "certs/issuer.jwks.json";
const ISSUER_KEY: &str = "certs/issuer.key";

/// The answers, and the files to write beside gateway.yaml.
pub(super) struct CollectedAnswers {
    pub(super) answers: Answers,
    pub(super) new: NewContents,
}

impl Answers {
    /// The files that the configuration names.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        let of_scheme = match &self.scheme {
            SchemeAnswers::Preset(preset) => [preset.key.as_ref().map(|(file, _)| file), preset.token.as_ref()],
            SchemeAnswers::Jwt(JwtAnswers {
                keys: KeySetSource::File(file) | KeySetSource::PublicKey(file), ..
            }) => [Some(file), None],
            SchemeAnswers::Jwt(_) => [None, None],
        };
        let of_tls = match &self.tls {
            TlsAnswer::Dev { cert, key } | TlsAnswer::Files { cert, key } => [Some(cert), Some(key)],
            TlsAnswer::Acme { .. } | TlsAnswer::Plaintext => [None, None],
        };
        of_scheme.into_iter().chain(of_tls).flatten()
    }
}

/// Who sends the requests.
enum ChosenSender {
    Preset(&'static str, Box<PresetYaml>),
    Issuer,
}

/// Asks for each answer that is no argument, and generates keys and certificates where they are wanted.
pub(super) fn collect(arguments: &InitArguments, mut interview: Interview<'_>) -> anyhow::Result<CollectedAnswers> {
    let mut new = NewContents::new();
    let sender = sender(arguments, &mut interview)?;
    let default = Some("https://localhost:8443/webhook");
    let question = Question { flag: "--public-url", text: "URL that the sender calls", default };
    let public_url = interview.ask(arguments.public_url.as_deref(), &question, endpoint_url)?;
    let default = Some("http://127.0.0.1:8000");
    let question = Question { flag: "--upstream", text: "URL of your application", default };
    let upstream = interview.ask(arguments.upstream.as_deref(), &question, checks::upstream)?;
    let tls = tls(arguments, &mut interview, public_url.as_ref(), &mut new)?;
    let scheme = match sender {
        Some(ChosenSender::Preset(name, preset)) => {
            Some(SchemeAnswers::Preset(Box::new(preset_answers(arguments, &mut interview, &mut new, name, *preset)?)))
        }
        Some(ChosenSender::Issuer) => {
            jwt(arguments, &mut interview, public_url.as_ref(), &mut new)?.map(SchemeAnswers::Jwt)
        }
        None => None,
    };
    let replay_protection = scheme.as_ref().map(|scheme| replay_protection(arguments, scheme, &mut interview));
    interview.finish().map_err(|error| IncompleteArguments(error.to_string()))?;
    let complete = scheme.zip(public_url).zip(upstream).zip(tls).zip(replay_protection);
    let ((((scheme, public_url), upstream), tls), replay_protection) = complete.context("an answer is missing")?;
    let listen = arguments.listen.clone().unwrap_or_else(|| listen(&public_url, &tls));
    let replay_protection = replay_protection?;
    Ok(CollectedAnswers { answers: Answers { scheme, public_url, upstream, listen, tls, replay_protection }, new })
}

fn sender(arguments: &InitArguments, interview: &mut Interview<'_>) -> anyhow::Result<Option<ChosenSender>> {
    if arguments.issuer.is_some() {
        return Ok(Some(ChosenSender::Issuer));
    }
    let text = "Provider of the webhooks (`hookgate presets` lists them), or `jwt` for tokens of an issuer";
    let question = Question { flag: "--preset or --issuer", text, default: None };
    let is_asked = arguments.preset.is_none();
    interview.ask(arguments.preset.as_deref(), &question, |name| match template::find(name) {
        Some((name, preset)) => Ok(ChosenSender::Preset(name, Box::new(preset))),
        None if is_asked && name == "jwt" => Ok(ChosenSender::Issuer),
        None => Err(unknown(name)),
    })
}

fn endpoint_url(text: &str) -> Result<EndpointUrl, String> {
    let problem = "expected the URL that the sender calls, such as https://hooks.example.com/stripe, without a query";
    let url = parse_public_url(text).ok_or(problem)?;
    let uri: http::Uri = text.parse().map_err(|_| problem)?;
    Ok(EndpointUrl { scheme: url.scheme, authority: url.authority, path: uri.path().to_owned() })
}

fn preset_answers(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    new: &mut NewContents,
    name: &'static str,
    preset: PresetYaml,
) -> anyhow::Result<PresetAnswers> {
    let parameters = parameters(arguments, interview, &preset)?;
    let key = match page::key_of(&preset) {
        // The provider's own key set is fetched.
        Some(_) if preset.has_jwks() && arguments.secret_file.is_none() => None,
        None => None,
        Some((_, what)) => key(arguments, interview, new, (name, &preset), what)?,
    };
    let id = match page::has_key_id(&preset) {
        true => {
            let question =
                Question { flag: "--key-id", text: "Id of the secret, as the provider shows it", default: None };
            let not_empty = |id: &str| if id.is_empty() { Err("expected an id".to_owned()) } else { Ok(id.to_owned()) };
            interview.ask(arguments.key_id.as_deref(), &question, not_empty)?
        }
        false => None,
    };
    let token = shows_token(&preset).then(|| format!("secrets/{name}-token"));
    if let Some(token) = &token {
        new.insert(token.clone(), (PRIVATE, generated(SecretEncoding::Utf8)?));
    }
    Ok(PresetAnswers { name, preset, parameters, key: key.map(|file| (file, id)), token })
}

fn parameters(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    preset: &PresetYaml,
) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for given in &arguments.parameters {
        let (name, value) =
            given.split_once('=').with_context(|| format!("--parameter {given}: expected NAME=VALUE"))?;
        if !preset.parameters.contains_key(name) {
            let known: Vec<&str> = preset.parameters.keys().map(String::as_str).collect();
            bail!(
                "--parameter {name}: the preset has {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
        }
        parameters.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    let needed =
        |(name, about): &(&String, &PresetParameterYaml)| about.default.is_none() && !parameters.contains_key(*name);
    let needed: Vec<_> = preset.parameters.iter().filter(needed).collect();
    for (name, about) in needed {
        let text = format!("{name}, {}", about.what);
        let question = Question { flag: "--parameter", text: &text, default: None };
        let value = interview.ask(None, &question, |value| Ok(vec![value.to_owned()]))?;
        parameters.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(parameters)
}

/// The file with the secret or public key: an existing one, or a new one with what was read or generated.
fn key(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    new: &mut NewContents,
    (name, preset): (&str, &PresetYaml),
    what: &str,
) -> anyhow::Result<Option<String>> {
    let file = format!("secrets/{name}");
    let encoding = preset.secret.as_ref().map(|secret| secret.encoding);
    let from_input = arguments.secret_file.as_deref() == Some(Path::new("-"));
    let is_asked = arguments.secret_file.is_none() && !arguments.generate_secret;
    if is_asked && arguments.config.with_file_name(&file).exists() {
        return Ok(Some(file));
    }
    let content = match encoding {
        _ if from_input => {
            let mut content = Zeroizing::new(Vec::new());
            std::io::stdin().read_to_end(&mut content).context("cannot read the secret from standard input")?;
            content
        }
        Some(encoding) if arguments.generate_secret => generated_for(preset, encoding)?,
        None if arguments.generate_secret => bail!("--generate-secret: only the provider has the private key; {what}"),
        Some(encoding) if is_asked && interview.terminal.is_some() => {
            let text = format!("Secret, which is not shown (empty: generate one); {what}");
            let secret = interview.ask_secret(&text, |secret| checks::secret(secret, encoding))?;
            match secret.filter(|secret| !secret.is_empty()) {
                Some(secret) => Zeroizing::new(secret.as_bytes().to_vec()),
                None => generated_for(preset, encoding)?,
            }
        }
        Some(_) | None => {
            let given = arguments.secret_file.as_deref().and_then(Path::to_str);
            let may_generate = encoding.is_some() && given.is_none();
            let flag = if may_generate { "--secret-file or --generate-secret" } else { "--secret-file" };
            let text = format!("File with {what}");
            let question = Question { flag, text: &text, default: None };
            return interview.ask(given, &question, |path| named(path, &arguments.config));
        }
    };
    new.insert(file.clone(), (PRIVATE, content));
    Ok(Some(file))
}

/// A random secret in the form that the preset takes: with a user name for the scheme Basic.
fn generated_for(preset: &PresetYaml, encoding: SecretEncoding) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let secret = generated(encoding)?;
    let scheme = preset.static_token.value().and_then(|token| token.scheme.text());
    Ok(if scheme == Some("Basic") { Zeroizing::new([b"hookgate:", secret.as_slice()].concat()) } else { secret })
}

/// A random secret in the encoding of the preset, of 32 bytes.
fn generated(encoding: SecretEncoding) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).ok().context("the system has no random numbers")?;
    Ok(Zeroizing::new(match encoding {
        SecretEncoding::Utf8 | SecretEncoding::Hex => hex::encode(*bytes).into_bytes(),
        SecretEncoding::Base64 => STANDARD.encode(*bytes).into_bytes(),
        SecretEncoding::Whsec => format!("whsec_{}", STANDARD.encode(*bytes)).into_bytes(),
    }))
}

fn jwt(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    url: Option<&EndpointUrl>,
    new: &mut NewContents,
) -> anyhow::Result<Option<JwtAnswers>> {
    let text = "Issuer, exactly the `iss` of the tokens, or `dev` for a development issuer";
    let question = Question { flag: "--issuer", text, default: Some("dev") };
    let issuer = interview.ask(arguments.issuer.as_deref(), &question, checks::issuer)?;
    let whole = url.map(|url| url.origin() + &url.path);
    let question =
        Question { flag: "--audience", text: "Audience, the `aud` of the tokens", default: whole.as_deref() };
    // Without a terminal the default is taken.
    let given = arguments.audience.as_deref().or(whole.as_deref().filter(|_| interview.terminal.is_none()));
    let audience = interview.ask(given, &question, |audience| Ok(audience.to_owned()))?;
    let keys = key_set(arguments, interview, issuer.as_deref(), new)?;
    let issuer = issuer.map(|issuer| if issuer == "dev" { DEV_ISSUER.to_owned() } else { issuer });
    let of_keys = keys.as_ref().and_then(|keys| algorithm(keys, &arguments.config));
    let algorithm = arguments.algorithm.clone().or(of_keys).unwrap_or_else(|| "RS256".to_owned());
    let claims = claims(arguments, interview)?;
    let complete = issuer.zip(audience).zip(keys);
    Ok(complete.map(|((issuer, audience), keys)| JwtAnswers { issuer, algorithm, keys, audience, claims }))
}

/// The public key of a file in PEM form.
fn public_key(config: &Path, file: &str) -> Option<Pem> {
    let bytes = std::fs::read(config.with_file_name(file)).ok()?;
    parse_x509_pem(&bytes).ok().map(|(_, pem)| pem).filter(|pem| pem.label == "PUBLIC KEY")
}

/// The algorithm of the first key in a file: its `alg`, or else the usual one of its type (RFC 7518 §3.1, RFC 8037 §3.1).
fn algorithm(keys: &KeySetSource, config: &Path) -> Option<String> {
    let algorithm = match keys {
        KeySetSource::Discovery | KeySetSource::Url(_) => return None,
        KeySetSource::File(file) => {
            let set: Value = serde_json::from_slice(&std::fs::read(config.with_file_name(file)).ok()?).ok()?;
            let text = |member: &str| set.pointer(&format!("/keys/0/{member}"))?.as_str();
            match (text("alg"), text("kty"), text("crv")) {
                (Some(alg), _, _) => alg,
                (None, Some("EC"), Some("P-256")) => "ES256",
                (None, Some("EC"), Some("P-384")) => "ES384",
                (None, Some("OKP"), _) => "EdDSA",
                (None, _, _) => return None,
            }
            .to_owned()
        }
        KeySetSource::PublicKey(file) => {
            let pem = public_key(config, file)?;
            let (_, key) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
            match key.parsed() {
                Ok(PublicKey::EC(point)) if point.key_size() == 256 => "ES256".to_owned(),
                Ok(PublicKey::EC(point)) if point.key_size() == 384 => "ES384".to_owned(),
                // Ed25519 (RFC 8410 §3).
                Ok(_) | Err(_) if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "EdDSA".to_owned(),
                Ok(_) | Err(_) => return None,
            }
        }
    };
    Some(algorithm)
}

/// Claims that tokens must have: those of the arguments, or one that is asked for.
fn claims(arguments: &InitArguments, interview: &mut Interview<'_>) -> anyhow::Result<Vec<(String, Value)>> {
    if !arguments.claims.is_empty() || interview.terminal.is_none() {
        return arguments.claims.iter().map(|claim| checks::claim(claim).map_err(anyhow::Error::msg)).collect();
    }
    let text = "Claim that each token must have, as NAME=VALUE, such as event_scope=webhook (empty: none)";
    let question = Question { flag: "--claim", text, default: None };
    let read = |claim: &str| if claim.is_empty() { Ok(None) } else { checks::claim(claim).map(Some) };
    Ok(interview.ask(None, &question, read)?.flatten().into_iter().collect())
}

/// The key set of the issuer: asked for on a terminal, otherwise found by discovery if no argument names it.
fn key_set(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    issuer: Option<&str>,
    new: &mut NewContents,
) -> anyhow::Result<Option<KeySetSource>> {
    if arguments.jwks.is_none() && issuer == Some("dev") {
        let exist = [ISSUER_KEYS, ISSUER_KEY].iter().all(|name| arguments.config.with_file_name(name).exists());
        if !exist {
            let dev = DevIssuer::generate()?;
            add(new, ISSUER_KEYS, PUBLIC, format!("{:#}\n", dev.jwks()?));
            add(new, ISSUER_KEY, PRIVATE, dev.private_pem.clone());
        }
        return Ok(Some(KeySetSource::File(ISSUER_KEYS.to_owned())));
    }
    let text = "Key set (JWKS) of the issuer: its URL or a file, or `discovery` to find it by the issuer's document";
    let question = Question { flag: "--jwks", text, default: Some("discovery") };
    let given = arguments.jwks.as_deref().or(Some("discovery").filter(|_| interview.terminal.is_none()));
    interview.ask(given, &question, |answer| match answer {
        "discovery" => Ok(KeySetSource::Discovery),
        url if url.contains("://") => checks::jwks_url(url).map(KeySetSource::Url),
        file => named(file, &arguments.config).map(|file| match public_key(&arguments.config, &file) {
            Some(_) => KeySetSource::PublicKey(file),
            None => KeySetSource::File(file),
        }),
    })
}

fn replay_protection(
    arguments: &InitArguments,
    scheme: &SchemeAnswers,
    interview: &mut Interview<'_>,
) -> anyhow::Result<bool> {
    if let Some(switch) = arguments.replay_protection {
        return Ok(switch == ReplaySwitch::On);
    }
    match scheme {
        SchemeAnswers::Preset(preset) => Ok(preset.has_replay_id()),
        SchemeAnswers::Jwt(_) if interview.terminal.is_none() => Ok(true),
        SchemeAnswers::Jwt(_) => {
            let text = "Does each token belong to one request (`on`), or does a sender reuse it (`off`)?";
            let question = Question { flag: "--replay-protection", text, default: Some("on") };
            let on = interview.ask(None, &question, |answer| match answer {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err("expected on or off".to_owned()),
            })?;
            Ok(on.unwrap_or(true))
        }
    }
}

#[cfg(test)]
mod tests;
