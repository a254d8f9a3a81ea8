//! The configuration that `hookgate init` writes and `hookgate presets NAME --example` prints: answers → YAML with
//! comments. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::presets::page;
use crate::config::file::preset::{ChallengeYaml, PresetYaml, RedeliveryYaml};
use crate::config::presets;
use crate::config::values::{parse_duration, parse_size, write_size};

/// Minimum time after the last retry for which an id is kept: deliveries may be late, and clocks differ.
const MARGIN: Duration = Duration::from_secs(24 * 3600);

/// The time for which ids are kept if the provider's retries are not documented: longer than most providers retry.
const USUAL_TTL: Duration = Duration::from_secs(4 * 24 * 3600);

/// The `iss` of the development issuer.
pub(in crate::cli) const DEV_ISSUER: &str = "https://issuer.localhost/";

/// What the operator wants.
pub(in crate::cli) struct Answers {
    pub(in crate::cli) scheme: SchemeAnswers,
    pub(in crate::cli) public_url: EndpointUrl,
    pub(in crate::cli) upstream: String,
    pub(in crate::cli) listen: String,
    pub(in crate::cli) tls: TlsAnswer,
    pub(in crate::cli) replay_protection: bool,
}

/// The URL that the sender calls.
#[derive(Clone)]
pub(in crate::cli) struct EndpointUrl {
    pub(in crate::cli) scheme: String,
    /// Host, with its port if it has one.
    pub(in crate::cli) authority: String,
    pub(in crate::cli) path: String,
}

impl EndpointUrl {
    /// The host alone; `None` for localhost and an IP address, under which only this machine and tests reach the gateway.
    pub(in crate::cli) fn host(&self) -> Option<&str> {
        let authority = self.authority.parse::<http::uri::Authority>().ok()?;
        let host = authority.host();
        let is_name = host != "localhost" && !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err();
        is_name.then(|| self.authority.get(..host.len())).flatten()
    }

    /// The URL without its path.
    pub(in crate::cli) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }
}

/// How the sender of a route is authenticated.
pub(in crate::cli) enum SchemeAnswers {
    Preset(Box<PresetAnswers>),
    Jwt(JwtAnswers),
}

/// A provider and its settings.
pub(in crate::cli) struct PresetAnswers {
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) preset: PresetYaml,
    pub(in crate::cli) parameters: BTreeMap<String, Vec<String>>,
    /// The file with the secret or public key, and its key id; `None` if the preset fetches its keys.
    pub(in crate::cli) key: Option<(String, Option<String>)>,
    /// The file with the token of the endpoint verification challenge.
    pub(in crate::cli) token: Option<String>,
}

impl PresetAnswers {
    /// Whether the provider's requests have a replay id.
    pub(in crate::cli) fn has_replay_id(&self) -> bool {
        page::replay_id(&self.preset) != "none"
    }
}

/// An issuer of JSON Web Tokens.
pub(in crate::cli) struct JwtAnswers {
    pub(in crate::cli) issuer: String,
    pub(in crate::cli) algorithm: String,
    pub(in crate::cli) keys: KeySetSource,
    pub(in crate::cli) audience: String,
    /// Claims that tokens must have, with their values.
    pub(in crate::cli) claims: Vec<(String, serde_json::Value)>,
}

/// Where the key set of an issuer is.
pub(in crate::cli) enum KeySetSource {
    Discovery,
    Url(String),
    File(String),
    /// A file with one public key in PEM form.
    PublicKey(String),
}

/// Where the certificate comes from. A further source is a further variant, with its lines in [`listener`].
pub(in crate::cli) enum TlsAnswer {
    /// A development certificate for localhost.
    Dev { cert: String, key: String },
    /// PEM files of the operator.
    Files { cert: String, key: String },
    /// An ACME server issues it for this name.
    Acme { name: String, storage: String },
    /// None: a proxy in front of hookgate terminates TLS.
    Plaintext,
}

/// The whole gateway.yaml; `command` has written it.
pub(in crate::cli) fn yaml(answers: &Answers, command: &str) -> String {
    let sender = match &answers.scheme {
        SchemeAnswers::Preset(preset) => preset.preset.title.clone(),
        SchemeAnswers::Jwt(jwt) => format!("the tokens of {}", jwt.issuer),
    };
    let head = format!(
        "# {sender} -> hookgate -> {}. Made by `{command}`.\n\
         # `hookgate check` validates this file, and a running gateway loads a change of it. docs/reference/configuration\n\
         # documents every key.\n",
        answers.upstream
    );
    let admin = commented("  address: 127.0.0.1:9901", "/metrics /livez /readyz /status; without authentication");
    let store = commented("store: { type: memory }", "replay ids, lost on restart; embedded and redis keep them");
    let store = if answers.replay_protection { format!("\n{store}") } else { String::new() };
    let issuers = match &answers.scheme {
        SchemeAnswers::Jwt(jwt) => issuer(jwt),
        SchemeAnswers::Preset(_) => String::new(),
    };
    [head, listener(answers), format!("\nadmin:\n{admin}"), store, buffer(answers), issuers, route(answers)].concat()
}

/// `max_buffered_bytes` where the usual value is too small for the provider's largest body: one IP address has a quarter of
/// it.
fn buffer(answers: &Answers) -> String {
    const USUAL: u64 = 64 << 20;
    let SchemeAnswers::Preset(preset) = &answers.scheme else { return String::new() };
    let needed = preset.preset.largest_body.as_deref().and_then(parse_size).unwrap_or(0).saturating_mul(4);
    if needed <= USUAL {
        return String::new();
    }
    let line = format!("max_buffered_bytes: {}", write_size(needed));
    format!("\n{}", commented(&line, "four times the provider's largest body"))
}

fn listener(answers: &Answers) -> String {
    let address = scalar(&answers.listen);
    let certificates = |cert: &str, key: &str| {
        format!("      certificates:\n        - {{ cert: {}, key: {} }}\n", scalar(cert), scalar(key))
    };
    let tls = match &answers.tls {
        TlsAnswer::Dev { cert, key } => {
            commented("    tls:", "for localhost only: replace it by the certificate of your host name")
                + &certificates(cert, key)
        }
        TlsAnswer::Files { cert, key } => {
            commented("    tls:", "a renewed certificate is loaded without a restart") + &certificates(cert, key)
        }
        TlsAnswer::Acme { name, storage } => {
            let terms = commented("        terms_of_service_agreed: true", "https://letsencrypt.org/repository/");
            let storage =
                commented(&format!("        storage: {}", scalar(storage)), "keep it: a volume in a container");
            let names =
                commented(&format!("        names: [{}]", scalar(name)), "reached on port 443 by Let's Encrypt");
            format!("    tls:\n      acme:\n{names}{terms}{storage}")
                + &commented("        # directory: staging", "for tests: no client trusts its certificates")
        }
        TlsAnswer::Plaintext => {
            commented("    plaintext: true", "another proxy terminates TLS; list its address in `trusted_proxies`")
        }
    };
    let address = format!("  - address: {address}");
    let address = match &answers.tls {
        TlsAnswer::Dev { .. } if answers.listen.starts_with("127.0.0.1:") => {
            commented(&address, "this machine only; 0.0.0.0 instead of 127.0.0.1: all addresses")
        }
        TlsAnswer::Dev { .. } | TlsAnswer::Files { .. } | TlsAnswer::Acme { .. } | TlsAnswer::Plaintext => {
            address + "\n"
        }
    };
    format!("\nlisteners:\n{address}{tls}")
}

fn issuer(jwt: &JwtAnswers) -> String {
    let keys = match &jwt.keys {
        KeySetSource::Discovery => "jwks: { discovery: true }".to_owned(),
        KeySetSource::Url(url) => format!("jwks: {{ url: {} }}", scalar(url)),
        KeySetSource::File(file) => format!("jwks: {{ file: {} }}", scalar(file)),
        KeySetSource::PublicKey(file) => format!("public_key: {{ file: {} }}", scalar(file)),
    };
    let issuer = commented(&format!("    issuer: {}", scalar(&jwt.issuer)), "exactly the `iss` of the tokens");
    format!("\nissuers:\n  main:\n{issuer}    algorithms: [{}]\n    {keys}\n", scalar(&jwt.algorithm))
}

fn route(answers: &Answers) -> String {
    let url = &answers.public_url;
    let (name, auth, methods) = match &answers.scheme {
        SchemeAnswers::Preset(preset) => (preset.name, preset_auth(preset), methods(&preset.preset)),
        SchemeAnswers::Jwt(jwt) => ("webhook", jwt_auth(jwt, answers.replay_protection), "POST".to_owned()),
    };
    let host = url.host().map(|host| format!("host: {}, ", scalar(host))).unwrap_or_default();
    let mut route = format!(
        "\nroutes:\n  - name: {name}\n    match: {{ {host}path: {}, methods: [{methods}] }}\n",
        scalar(&url.path)
    );
    if let SchemeAnswers::Preset(preset) = &answers.scheme {
        if page::signs_url(&preset.preset) {
            let origin = format!("    public_url: {}", scalar(&url.origin()));
            route.push_str(&commented(&origin, "the provider signs the URL that it calls"));
        }
        if let Some(size) = &preset.preset.largest_body {
            let limits = format!("    limits: {{ max_body_size: {size} }}");
            route.push_str(&commented(&limits, "the largest body of the provider"));
        }
    }
    route.push_str(&format!("    upstream: {{ url: {} }}\n{auth}", scalar(&answers.upstream)));
    route + &replay_protection(answers)
}

/// POST, and the methods of the provider's challenges.
fn methods(preset: &PresetYaml) -> String {
    let mut methods = vec!["POST"];
    for challenge in preset.challenge.iter().filter(|challenge| challenge.method != "POST") {
        if !methods.contains(&challenge.method.as_str()) {
            methods.push(&challenge.method);
        }
    }
    methods.join(", ")
}

fn preset_auth(answers: &PresetAnswers) -> String {
    let mut auth = format!("    auth:\n      preset: {}\n", answers.name);
    if let (Some((file, id)), Some((key, what))) = (&answers.key, page::key_of(&answers.preset)) {
        let id = id.as_ref().map(|id| format!(", id: {}", scalar(id))).unwrap_or_default();
        auth.push_str(&format!("      # {what}\n      {key}: {{ file: {}{id} }}\n", scalar(file)));
    }
    if !answers.parameters.is_empty() {
        auth.push_str("      parameters:\n");
    }
    for (name, values) in &answers.parameters {
        let about = answers.preset.parameters.get(name).map(|about| format!("        # {}\n", about.what));
        let values: Vec<String> = values.iter().map(|value| scalar(value)).collect();
        let value = match values.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        auth.push_str(&format!("{}        {name}: {value}\n", about.unwrap_or_default()));
    }
    if !answers.preset.challenge.is_empty() {
        let switch = match &answers.token {
            Some(file) => format!("{{ token: {{ file: {} }} }}", scalar(file)),
            None => "true".to_owned(),
        };
        auth.push_str(&format!(
            "      # answers the provider's endpoint verification challenge\n      challenge: {switch}\n"
        ));
    }
    auth
}

/// Whether the challenge of the preset presents a token that the operator enters in the provider's console.
pub(in crate::cli) fn shows_token(preset: &PresetYaml) -> bool {
    preset.challenge.iter().any(ChallengeYaml::shows_token)
}

fn jwt_auth(jwt: &JwtAnswers, replay_protection: bool) -> String {
    let audience = commented(&format!("        audience: {}", scalar(&jwt.audience)), "the `aud` of the tokens");
    let required = if replay_protection { "[exp, jti]" } else { "[exp]" };
    let claims: String =
        jwt.claims.iter().map(|(name, value)| format!("          {}: {value}\n", scalar(name))).collect();
    let claims = if claims.is_empty() { claims } else { format!("        claims:\n{claims}") };
    format!("    auth:\n      jwt:\n        issuer: main\n{audience}        required_claims: {required}\n{claims}")
}

fn replay_protection(answers: &Answers) -> String {
    match (&answers.scheme, answers.replay_protection) {
        (SchemeAnswers::Preset(preset), true) => {
            let ttl = written(ttl(&preset.preset));
            let why = match (&preset.preset.retry_window, preset.preset.redelivery == Some(RedeliveryYaml::Never)) {
                (Some(window), _) => format!("the provider retries for {window}"),
                (None, true) => "the provider never retries".to_owned(),
                (None, false) => "the time in which the provider retries is not documented".to_owned(),
            };
            format!(
                "    # Each event once; a retry of a failed delivery is forwarded. `ttl` is how long an id is kept:\n    \
                 # {why}.\n    replay_protection: {{ ttl: {ttl} }}\n"
            )
        }
        (SchemeAnswers::Jwt(_), true) => {
            "    # Each token once. For tokens that a sender uses for many requests, such as OAuth access tokens, \
                                   write\n    # `disabled` instead, and remove `jti` from `required_claims`.\n    \
                                   replay_protection: { id: { claim: jti } }\n"
                .to_owned()
        }
        (SchemeAnswers::Preset(preset), false) if preset.has_replay_id() => {
            commented("    replay_protection: disabled", "a copy of a request is forwarded again")
        }
        (SchemeAnswers::Preset(_), false) => {
            "    # The provider signs no id that is unique to each event: the upstream must recognize \
                                       duplicates.\n    replay_protection: disabled\n"
                .to_owned()
        }
        (SchemeAnswers::Jwt(_), false) => {
            commented("    replay_protection: disabled", "a copied token can be sent again until it expires")
        }
    }
}

/// How long an id is kept: for a day after the provider's last retry.
fn ttl(preset: &PresetYaml) -> Duration {
    let window = preset.retry_window.as_deref().and_then(parse_duration);
    window.map_or(USUAL_TTL, |window| window + MARGIN)
}

/// The duration in days, or else in hours, rounded up.
fn written(duration: Duration) -> String {
    let hours = duration.as_secs().div_ceil(3600);
    if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") }
}

/// A line with a comment behind it.
fn commented(line: &str, comment: &str) -> String {
    format!("{line:<38} # {comment}\n")
}

/// A value as a YAML scalar: plain if it can only be read as a string, otherwise in double quotes, as in JSON.
fn scalar(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    if starts_well && !is_word && value.chars().all(plain) {
        value.to_owned()
    } else {
        serde_json::Value::from(value).to_string()
    }
}

/// A whole configuration for a preset, whose values are examples.
pub(in crate::cli) fn example(name: &'static str, preset: PresetYaml) -> String {
    let parameters = preset.parameters.iter().filter(|(_, about)| about.default.is_none());
    let parameters = parameters.map(|(name, _)| (name.clone(), vec![page::example(name)])).collect();
    let id = page::has_key_id(&preset).then(|| "KEY_ID".to_owned());
    let key = page::key_of(&preset).filter(|_| !preset.has_jwks()).map(|_| (format!("secrets/{name}"), id));
    let token = shows_token(&preset).then(|| format!("secrets/{name}-token"));
    let preset = PresetAnswers { name, preset, parameters, key, token };
    // Without a host of its own, the route has the requests of each.
    let authority = if page::signs_url(&preset.preset) { "hooks.example.com" } else { "localhost" };
    let answers = Answers {
        replay_protection: preset.has_replay_id(),
        public_url: EndpointUrl {
            scheme: "https".to_owned(),
            authority: authority.to_owned(),
            path: "/webhook".to_owned(),
        },
        upstream: "http://127.0.0.1:8000".to_owned(),
        listen: "0.0.0.0:8443".to_owned(),
        tls: TlsAnswer::Files { cert: "certs/server.crt".to_owned(), key: "certs/server.key".to_owned() },
        scheme: SchemeAnswers::Preset(Box::new(preset)),
    };
    yaml(&answers, &format!("hookgate presets {name} --example"))
}

/// The preset of this name or alias.
pub(in crate::cli) fn find(name: &str) -> Option<(&'static str, PresetYaml)> {
    presets::resolve(name).zip(presets::find(name))
}
