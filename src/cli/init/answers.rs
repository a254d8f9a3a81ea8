//! Flags and answers on the terminal → [`Answers`], and the files that belong to them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::arguments::{IncompleteArguments, InitArguments, ReplaySwitch, TlsSource};
use super::interview::{Interview, Question};
use super::new_files::{PRIVATE, PUBLIC};
use super::template::{
    self, Answers, EndpointUrl, JwtAnswers, KeySetSource, PresetAnswers, SchemeAnswers, TlsAnswer, shows_token,
};
use crate::cli::dev::{Certificates, DevIssuer};
use crate::cli::presets::{page, unknown};
use crate::config::file::SecretEncoding;
use crate::config::file::preset::{PresetParameterYaml, PresetYaml};
use crate::config::values::parse_public_url;

/// Files of the development certificates and issuer, in the folder that `dev-certs` and `sign` use.
const CERT: &str = "certs/server.crt";
const KEY: &str = "certs/server.key";
const CA: &str = "certs/ca.crt";
const ISSUER_KEYS: &str = "certs/issuer.jwks.json";
const ISSUER_KEY: &str = "certs/issuer.key";

/// The `iss` of the development issuer.
const DEV_ISSUER: &str = "https://issuer.localhost/";

/// Mode and content of each new file, by its name in the configuration.
type NewContents = BTreeMap<String, (u32, Zeroizing<Vec<u8>>)>;

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
            SchemeAnswers::Jwt(JwtAnswers { keys: KeySetSource::File(file), .. }) => [Some(file), None],
            SchemeAnswers::Jwt(_) => [None, None],
        };
        let of_tls = match &self.tls {
            TlsAnswer::Dev { cert, key } | TlsAnswer::Files { cert, key } => [Some(cert), Some(key)],
            TlsAnswer::Plaintext => [None, None],
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
    let name = if let Some(ChosenSender::Preset(name, _)) = &sender { name } else { "webhook" };
    let example = format!("https://localhost:8443/{name}");
    let question = Question { flag: "--public-url", text: "URL that the sender calls", default: Some(&example) };
    let public_url = interview.ask(arguments.public_url.as_deref(), &question, endpoint_url)?;
    let default = Some("http://127.0.0.1:8000");
    let question = Question { flag: "--upstream", text: "URL of your application", default };
    let upstream = interview.ask(arguments.upstream.as_deref(), &question, |text| Ok(text.to_owned()))?;
    let tls = tls(arguments, &mut interview, &mut new)?;
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

/// All addresses of the machine for TLS; loopback for plain HTTP, which only the proxy in front may reach.
fn listen(url: &EndpointUrl, tls: &TlsAnswer) -> String {
    let port = url.authority.parse::<http::uri::Authority>().ok().and_then(|authority| authority.port_u16());
    match tls {
        TlsAnswer::Plaintext => "127.0.0.1:8080".to_owned(),
        TlsAnswer::Dev { .. } | TlsAnswer::Files { .. } => format!("0.0.0.0:{}", port.unwrap_or(8443)),
    }
}

fn tls(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    new: &mut NewContents,
) -> anyhow::Result<Option<TlsAnswer>> {
    let written = arguments.cert.as_ref().map(|_| TlsSource::Files).or(arguments.tls);
    let text = "Certificate: `dev` (generated, for localhost), `files` (PEM), or `none` (a proxy terminates TLS)";
    let question = Question { flag: "--tls", text, default: Some("dev") };
    let source = match written {
        Some(source) => Some(source),
        None => interview.ask(None, &question, |answer| {
            <TlsSource as clap::ValueEnum>::from_str(answer, true).map_err(|_| "expected dev, files or none".to_owned())
        })?,
    };
    Ok(match source {
        None => None,
        Some(TlsSource::None) => Some(TlsAnswer::Plaintext),
        Some(TlsSource::Dev) => {
            let made = Certificates::generate()?;
            add(new, CA, PUBLIC, made.ca);
            add(new, CERT, PUBLIC, made.server);
            add(new, KEY, PRIVATE, made.server_key);
            Some(TlsAnswer::Dev { cert: CERT.to_owned(), key: KEY.to_owned() })
        }
        Some(TlsSource::Files) => {
            let mut file = |given: Option<&Path>, flag, text| {
                let question = Question { flag, text, default: None };
                interview.ask(given.and_then(Path::to_str), &question, |path| named(path, &arguments.config))
            };
            let cert = file(arguments.cert.as_deref(), "--cert", "PEM file with the certificate and its chain")?;
            let key = file(arguments.private_key.as_deref(), "--key", "PEM file with its private key")?;
            cert.zip(key).map(|(cert, key)| TlsAnswer::Files { cert, key })
        }
    })
}

/// The name of an existing file for the configuration, where relative paths start at the configuration's folder.
fn named(path: &str, config: &Path) -> Result<String, String> {
    let is_here = config.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let file = std::fs::File::open(path);
    file.map_err(|error| error.to_string())?;
    let full = if is_here { Ok(path.into()) } else { std::path::absolute(path) };
    let full = full.map_err(|error| error.to_string())?;
    full.to_str().map(str::to_owned).ok_or_else(|| "expected a path in UTF-8".to_owned())
}

fn add(new: &mut NewContents, name: &str, mode: u32, content: impl Into<Vec<u8>>) {
    new.insert(name.to_owned(), (mode, Zeroizing::new(content.into())));
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
    let content = match encoding {
        _ if from_input => {
            let mut content = Zeroizing::new(Vec::new());
            std::io::stdin().read_to_end(&mut content).context("cannot read the secret from standard input")?;
            content
        }
        Some(encoding) if arguments.generate_secret => generated_for(preset, encoding)?,
        None if arguments.generate_secret => bail!("--generate-secret: only the provider has the private key; {what}"),
        Some(encoding) if arguments.secret_file.is_none() && interview.terminal.is_some() => {
            let secret = interview.ask_secret(&format!("Secret, which is not shown (empty: generate one); {what}"))?;
            match secret.filter(|secret| !secret.is_empty()) {
                Some(secret) => Zeroizing::new(secret.as_bytes().to_vec()),
                None => generated_for(preset, encoding)?,
            }
        }
        Some(_) | None => {
            let flag = if encoding.is_some() { "--secret-file or --generate-secret" } else { "--secret-file" };
            let text = format!("File with {what}");
            let question = Question { flag, text: &text, default: None };
            let given = arguments.secret_file.as_deref().and_then(Path::to_str);
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
    let issuer = interview.ask(arguments.issuer.as_deref(), &question, |issuer| Ok(issuer.to_owned()))?;
    let whole = url.map(|url| url.origin() + &url.path);
    let question =
        Question { flag: "--audience", text: "Audience, the `aud` of the tokens", default: whole.as_deref() };
    // Without a terminal the default is taken.
    let given = arguments.audience.as_deref().or(whole.as_deref().filter(|_| interview.terminal.is_none()));
    let audience = interview.ask(given, &question, |audience| Ok(audience.to_owned()))?;
    let keys = match (&arguments.jwks, issuer.as_deref()) {
        (None, Some("dev")) => {
            let dev = DevIssuer::generate()?;
            add(new, ISSUER_KEYS, PUBLIC, format!("{:#}\n", dev.jwks()?));
            add(new, ISSUER_KEY, PRIVATE, dev.private_pem.clone());
            KeySetSource::File(ISSUER_KEYS.to_owned())
        }
        (Some(url), _) if url.contains("://") => KeySetSource::Url(url.clone()),
        (Some(file), _) => KeySetSource::File(
            named(file, &arguments.config).map_err(|problem| anyhow::anyhow!("--jwks {file}: {problem}"))?,
        ),
        (None, _) => KeySetSource::Discovery,
    };
    let issuer = issuer.map(|issuer| if issuer == "dev" { DEV_ISSUER.to_owned() } else { issuer });
    let algorithm = arguments.algorithm.clone();
    Ok(issuer.zip(audience).map(|(issuer, audience)| JwtAnswers { issuer, algorithm, keys, audience }))
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
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::init::interview::Terminal;

    #[derive(Parser)]
    struct InitCommandLine {
        #[command(flatten)]
        arguments: InitArguments,
    }

    fn arguments(given: &[&str]) -> InitArguments {
        InitCommandLine::parse_from([&["init"], given].concat()).arguments
    }

    /// The setup after these lines on a terminal, and what the terminal has shown.
    fn asked(
        given: &[&str],
        lines: &'static str,
        hidden: fn(&str) -> std::io::Result<String>,
    ) -> (CollectedAnswers, String) {
        let mut output = Vec::new();
        let terminal = Terminal { input: Box::new(lines.as_bytes()), output: Box::new(&mut output), hidden };
        let interview = Interview { terminal: Some(terminal), missing: Vec::new() };
        let setup = collect(&arguments(given), interview).unwrap();
        (setup, String::from_utf8(output).unwrap())
    }

    fn secret(setup: &CollectedAnswers) -> &[u8] {
        &setup.new["secrets/stripe"].1
    }

    #[test]
    fn questions_are_asked_until_an_answer_is_valid() {
        let lines = "strpe\nstripe\nhooks.example.com\nhttps://hooks.example.com/in\n\nnone\n";
        let (setup, output) = asked(&[], lines, |_| Ok("whsec_1".to_owned()));
        assert!(output.contains("did you mean stripe") && output.contains("expected the URL"), "{output}");
        let answers = &setup.answers;
        assert_eq!((answers.public_url.path.as_str(), answers.upstream.as_str()), ("/in", "http://127.0.0.1:8000"));
        assert!(matches!(answers.tls, TlsAnswer::Plaintext) && answers.replay_protection);
        assert!(secret(&setup) == b"whsec_1" && !output.contains("whsec_1"));
    }

    #[test]
    fn an_empty_secret_is_generated() {
        let given =
            ["--preset", "stripe", "--public-url", "https://a.example/", "--upstream", "http://a", "--tls", "none"];
        let (setup, output) = asked(&given, "", |_| Ok(String::new()));
        assert_eq!((secret(&setup).len(), setup.new["secrets/stripe"].0, output.as_str()), (64, 0o600, ""));
    }

    #[test]
    fn tokens_that_a_sender_reuses_have_no_replay_id() {
        let lines = "jwt\nhttps://hooks.example.com/\n\nnone\nhttps://issuer.example/\n\noff\n";
        let (setup, _) = asked(&[], lines, |_| panic!("a token needs no secret"));
        let SchemeAnswers::Jwt(jwt) = &setup.answers.scheme else { panic!("not jwt") };
        assert_eq!(
            (jwt.issuer.as_str(), jwt.audience.as_str()),
            ("https://issuer.example/", "https://hooks.example.com/")
        );
        assert!(!setup.answers.replay_protection);
    }
}
