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
    let given = ["--preset", "stripe", "--public-url", "https://a.example/", "--upstream", "http://a", "--tls", "none"];
    let (setup, output) = asked(&given, "", |_| Ok(String::new()));
    assert_eq!((secret(&setup).len(), setup.new["secrets/stripe"].0, output.as_str()), (64, 0o600, ""));
}

#[test]
fn tokens_that_a_sender_reuses_have_no_replay_id() {
    let lines = "jwt\nhttps://hooks.example.com/\n\nnone\nhttps://issuer.example/\n\n\nscope\nscope=hooks\noff\n";
    let (setup, output) = asked(&[], lines, |_| panic!("a token needs no secret"));
    let SchemeAnswers::Jwt(jwt) = &setup.answers.scheme else { panic!("not jwt") };
    assert_eq!((jwt.issuer.as_str(), jwt.audience.as_str()), ("https://issuer.example/", "https://hooks.example.com/"));
    assert!(!setup.answers.replay_protection && output.contains("expected NAME=VALUE"), "{output}");
    assert!(matches!(jwt.keys, KeySetSource::Discovery));
    assert_eq!(jwt.claims, [("scope".to_owned(), "hooks".into())]);
}

/// Each answer is checked when it is given: otherwise the last one would lose all others.
#[test]
fn an_answer_that_makes_no_configuration_is_asked_for_again() {
    let lines = "jwt\nhttps://hooks.example.com/\n8000\napp\nhttp://app:8000\nnone\nhttps://issuer.example/\n\n\
                 gone.json\nhttps://issuer.example/keys\n\noff\n";
    let (setup, output) = asked(&[], lines, |_| panic!("a token needs no secret"));
    assert!(output.matches("expected http://host:port").count() == 2 && output.contains("No such file"), "{output}");
    let SchemeAnswers::Jwt(jwt) = &setup.answers.scheme else { panic!("not jwt") };
    assert!(matches!(&jwt.keys, KeySetSource::Url(url) if url == "https://issuer.example/keys"));
    assert_eq!(setup.answers.upstream, "http://app:8000");
    // Nothing here can sign a token of the issuer.
    let next = crate::cli::init::next_steps::text(&setup.answers, &arguments(&[]));
    assert!(next.contains("curl -i -X POST") && !next.contains("hookgate sign"), "{next}");
}

#[test]
fn a_certificate_by_acme_needs_a_name_and_the_agreement() {
    let given = ["--secret-file", "Cargo.toml"];
    let (_, output) = asked(&given, "github\nhttps://localhost/in\n\nacme\nnone\n", |_| panic!("no question"));
    assert!(output.contains("needs a public URL with a host name"), "{output}");
    let lines = "github\nhttps://hooks.example.com/in\n\nacme\nno\nyes\n";
    let (setup, output) = asked(&given, lines, |_| panic!("no question"));
    assert!(output.contains("Let's Encrypt issues no certificate"), "{output}");
    let TlsAnswer::Acme { name, .. } = &setup.answers.tls else { panic!("not acme") };
    assert_eq!((name.as_str(), setup.answers.listen.as_str()), ("hooks.example.com", "0.0.0.0:443"));
    let yaml = template::yaml(&setup.answers, "a test");
    assert!(
        yaml.contains("        names: [hooks.example.com]") && yaml.contains("terms_of_service_agreed: true"),
        "{yaml}"
    );
}

#[test]
fn a_url_without_tls_fits_no_certificate() {
    let lines = "github\nhttp://hooks.example.com/in\n\ndev\nnone\n";
    let (setup, output) = asked(&["--secret-file", "Cargo.toml"], lines, |_| panic!("no question"));
    assert!(
        output.contains("the sender calls http://") && matches!(setup.answers.tls, TlsAnswer::Plaintext),
        "{output}"
    );
}
