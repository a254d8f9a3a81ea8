//! The end of `hookgate init`: what to enter in the provider's console, and the next three commands.

use super::arguments::InitArguments;
use super::template::{Answers, DEV_ISSUER, KeySetSource, PresetAnswers, SchemeAnswers, TlsAnswer};
use crate::cli::presets::page;

pub(super) fn text(answers: &Answers, arguments: &InitArguments) -> String {
    let console = match &answers.scheme {
        SchemeAnswers::Preset(preset) => console(answers, preset, arguments),
        SchemeAnswers::Jwt(jwt) => {
            format!("\nThe sender calls {}\nwith a token of {} in `Authorization: Bearer`.\n", url(answers), jwt.issuer)
        }
    };
    let config = match arguments.config.to_str() {
        Some("gateway.yaml") => String::new(),
        _ => format!(" -c {}", arguments.config.display()),
    };
    format!(
        "{console}\nNext:\n  hookgate check{config}\n  hookgate run{config}\n  {}\n{}",
        request(answers, arguments, &config),
        own_key(answers, &config)
    )
}

/// The command for a request that passes, where the operator has the key set of the issuer and so perhaps its private key.
fn own_key(answers: &Answers, config: &str) -> String {
    let SchemeAnswers::Jwt(jwt) = &answers.scheme else { return String::new() };
    let (KeySetSource::File(file) | KeySetSource::PublicKey(file), true) = (&jwt.keys, jwt.issuer != DEV_ISSUER) else {
        return String::new();
    };
    let url = match answers.tls {
        TlsAnswer::Files { .. } | TlsAnswer::Acme { .. } => format!(" --url {}", answers.public_url.origin()),
        TlsAnswer::Dev { .. } | TlsAnswer::Plaintext => String::new(),
    };
    format!(
        "  hookgate sign{config} --key PRIVATE_KEY{url} --send      # 200: with the private key of a key in {file}\n"
    )
}

fn url(answers: &Answers) -> String {
    answers.public_url.origin() + &answers.public_url.path
}

fn console(answers: &Answers, preset: &PresetAnswers, arguments: &InitArguments) -> String {
    let title = &preset.preset.title;
    let mut lines = format!("\nIn the console of {title}:\n  URL: {}\n", url(answers));
    let beside = |name: &str| arguments.config.with_file_name(name).display().to_string();
    if let (Some((file, _)), Some((key, what))) = (&preset.key, page::key_of(&preset.preset)) {
        let file = beside(file);
        lines.push_str(&match (key, arguments.secret_file.is_some()) {
            ("secret", _) if arguments.generate_secret => format!(
                "  secret: {what}\n    {file} contains a generated one: enter it there, or for requests of the provider \
                 replace it by the one\n    that is shown there\n"
            ),
            ("secret", false) => format!(
                "  secret: {what}\n    must be what {file} contains: enter it there, or copy the one that is shown there into the \
                 file\n"
            ),
            _ => format!("  {key}: {what}\n    must be what {file} contains\n"),
        });
    }
    if let Some(token) = &preset.token {
        lines.push_str(&format!("  verify token: enter what {} contains\n", beside(token)));
    }
    for (name, values) in &preset.parameters {
        lines.push_str(&format!("  {name}: {}\n", values.join(", ")));
    }
    lines
}

/// A command that sends a request: a signed one that passes if the sender's key is here, otherwise one that is rejected.
fn request(answers: &Answers, arguments: &InitArguments, config: &str) -> String {
    let can_sign = match &answers.scheme {
        SchemeAnswers::Preset(preset) => preset.preset.secret.is_some(),
        SchemeAnswers::Jwt(jwt) => jwt.issuer == DEV_ISSUER,
    };
    let folder = arguments.config.with_file_name("certs");
    let is_here = config.is_empty();
    match (&answers.tls, can_sign) {
        (TlsAnswer::Dev { .. }, true) if is_here => format!("hookgate sign{config} --send"),
        (TlsAnswer::Dev { .. }, true) => {
            format!("hookgate sign{config} --key {} --send", folder.join("issuer.key").display())
        }
        (TlsAnswer::Files { .. } | TlsAnswer::Acme { .. }, true) => {
            format!("hookgate sign{config} --url {} --send", answers.public_url.origin())
        }
        (TlsAnswer::Plaintext, true) => format!("hookgate sign{config} --send"),
        (TlsAnswer::Dev { .. }, false) => {
            let port = answers.listen.rsplit(':').next().unwrap_or_default();
            let path = &answers.public_url.path;
            let ca = folder.join("ca.crt");
            format!(
                "curl -i --cacert {} -X POST https://localhost:{port}{path}      # 401: it has no credential",
                ca.display()
            )
        }
        (TlsAnswer::Files { .. } | TlsAnswer::Acme { .. } | TlsAnswer::Plaintext, false) => {
            format!("curl -i -X POST {}      # 401: it has no credential", url(answers))
        }
    }
}
