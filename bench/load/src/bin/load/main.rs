//! load --address 127.0.0.1:PORT --tokens FILE --order first|rotate|once --connections N [--plain] [--sources N]
//!      [--body BYTES] [--expect STATUS] [--new] [--rate A_SECOND] [--idle SECONDS]
//!      [--warm SECONDS] [--seconds SECONDS] [--proxy PID] [--app PID]
//!
//! An HTTPS/1.1 load generator in one thread, for bench/run.py; prints one line of JSON. Loopback only.
//!
//! In a closed loop each connection sends its next request after the response, with `--new` over a new connection without
//! session resumption. With `--rate` requests are due at fixed times, and latency counts from these. With `--idle` each
//! connection sends one request and stays open. The client offers TLS 1.3 with X25519 and AES-128-GCM and does not verify the
//! certificate, so that every proxy does the same cryptography.

mod connection;
mod generator;
mod histogram;
mod usage;

use generator::{Generator, Order, Pace, Plan};
use hookgate_load::epoll::own_seconds;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use usage::usage;

/// Connections opened at a time with `--idle`, so that the proxy's accept queue does not overflow.
const OPENING: usize = 32;
const OPENING_TAKES_AT_MOST: Duration = Duration::from_secs(120);
const TURN: Duration = Duration::from_millis(50);

fn main() {
    let arguments = Arguments::read();
    let connections = arguments.number("connections", 64.0) as usize;
    let plan = plan(&arguments);
    assert!(plan.address.ip().is_loopback(), "loopback only");
    assert!(!plan.tokens.is_empty(), "no tokens");
    let generator = Generator::new(plan, connections).expect("an epoll");
    if arguments.has("idle") {
        hold(generator, connections, &arguments);
    } else {
        measure(generator, connections, &arguments);
    }
}

fn plan(arguments: &Arguments) -> Plan {
    let tokens = std::fs::read_to_string(arguments.text("tokens", "")).expect("a file of tokens");
    Plan {
        address: arguments.text("address", "").parse().expect("an address with a port"),
        tls: (!arguments.has("plain")).then(client),
        sources: arguments.number("sources", 0.0) as u32,
        tokens: tokens.lines().map(String::from).collect(),
        order: match arguments.text("order", "first") {
            "first" => Order::First,
            "rotate" => Order::Rotate,
            "once" => Order::Once,
            other => panic!("unknown order: {other}"),
        },
        body: body(arguments.number("body", 1024.0) as usize),
        pace: match () {
            () if arguments.has("new") => Pace::ClosedAndNew,
            () if arguments.has("rate") => Pace::Open,
            () if arguments.has("idle") => Pace::Single,
            () => Pace::Closed,
        },
        expected: arguments.number("expect", 200.0) as u16,
    }
}

fn measure(mut generator: Generator, connections: usize, arguments: &Arguments) {
    let (proxy, app) = (arguments.process("proxy"), arguments.process("app"));
    let mut pace = Schedule::new(arguments.number("rate", 0.0));
    (0..connections).for_each(|index| generator.open(index));
    pace.run(&mut generator, arguments.seconds("warm", 2.0));
    generator.reset();
    let (before, app_before, own_before) = (usage(proxy), usage(app), own_seconds());
    let begin = Instant::now();
    pace.run(&mut generator, arguments.seconds("seconds", 8.0));
    let seconds = begin.elapsed().as_secs_f64();
    let (after, app_after, own) = (usage(proxy), usage(app), own_seconds() - own_before);

    let counts = &generator.counts;
    let responses = (counts.expected + counts.other) as f64;
    let used = after.seconds - before.seconds;
    let statuses: Vec<String> =
        counts.statuses.iter().map(|(status, count)| format!("\"{status}\": {count}")).collect();
    print(
        &[
            ("seconds", seconds),
            ("responses", responses),
            ("per_second", responses / seconds),
            ("unexpected", counts.other as f64),
            ("failed", counts.failed as f64),
            ("cpu_us", used * 1e6 / responses.max(1.0)),
            ("p50_us", generator.latencies.quantile(0.5)),
            ("p99_us", generator.latencies.quantile(0.99)),
            ("p999_us", generator.latencies.quantile(0.999)),
            ("rss_kib", after.resident_kib),
            ("peak_kib", after.peak_kib),
            ("proxy_busy", used / seconds),
            ("load_busy", own / seconds),
            ("app_busy", (app_after.seconds - app_before.seconds) / seconds),
            ("tokens_used_up", f64::from(u8::from(generator.exhausted()))),
        ],
        &format!(", \"statuses\": {{{}}}", statuses.join(", ")),
    );
}

/// Opens all connections, each with one request, then measures the memory and CPU time that they take.
fn hold(mut generator: Generator, connections: usize, arguments: &Arguments) {
    let proxy = arguments.process("proxy");
    let before = usage(proxy);
    let begin = Instant::now();
    let mut opened = 0;
    let mut settled = 0;
    while settled < connections && begin.elapsed() < OPENING_TAKES_AT_MOST {
        while opened < connections && opened < settled + OPENING {
            generator.open(opened);
            opened += 1;
        }
        generator.turn(TURN);
        settled = generator.settled();
    }
    generator.stopping = true;
    let end = Instant::now() + arguments.seconds("idle", 4.0);
    while Instant::now() < end {
        generator.turn(TURN);
    }
    let (after, settled) = (usage(proxy), generator.settled());
    print(
        &[
            ("connections", settled as f64),
            ("kib_each", (after.resident_kib - before.resident_kib) / settled.max(1) as f64),
            ("cpu_us", (after.seconds - before.seconds) * 1e6 / settled.max(1) as f64),
            ("unexpected", generator.counts.other as f64),
            ("failed", generator.counts.failed as f64),
            ("peak_kib", after.peak_kib),
        ],
        "",
    );
}

fn print(fields: &[(&str, f64)], more: &str) {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value:.3}")).collect();
    println!("{{{}{more}}}", fields.join(", "));
}

/// The due times of requests; empty without a rate.
struct Schedule {
    every: Option<Duration>,
    due: Instant,
}

impl Schedule {
    fn new(rate: f64) -> Self {
        // Leaves time to open the connections first.
        let due = Instant::now() + Duration::from_millis(300);
        Self { every: (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate)), due }
    }

    /// Ends early when the fresh tokens are used up.
    fn run(&mut self, generator: &mut Generator, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            if now >= end || generator.exhausted() {
                return;
            }
            let mut wait = TURN.min(end - now);
            if let Some(every) = self.every {
                while self.due <= now {
                    generator.schedule(self.due);
                    self.due += every;
                }
                wait = wait.min(self.due.saturating_duration_since(Instant::now()));
            }
            generator.turn(wait);
        }
    }
}

/// A JSON document of `length` bytes, or the smallest possible.
fn body(length: usize) -> Vec<u8> {
    let (begin, end) = (r#"{"order":"A-1001","items":[{"sku":"x-1","qty":2}],"note":""#, r#""}"#);
    let letters = ('a'..='z').cycle().take(length.saturating_sub(begin.len() + end.len()));
    begin.chars().chain(letters).chain(end.chars()).collect::<String>().into_bytes()
}

fn client() -> Arc<ClientConfig> {
    let mut cryptography = provider::default_provider();
    cryptography.kx_groups = vec![provider::kx_group::X25519];
    cryptography.cipher_suites = vec![provider::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let mut settings = ClientConfig::builder_with_provider(Arc::new(cryptography))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    settings.resumption = Resumption::disabled();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(settings)
}

/// Accepts every certificate: verification is the client's work, and only the proxy's is measured.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}

/// Command-line options: `--name value`, or `--name` alone.
struct Arguments(HashMap<String, String>);

impl Arguments {
    fn read() -> Self {
        let mut given = HashMap::new();
        let mut words = std::env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").unwrap_or_else(|| panic!("not an option: {word}"));
            let value = words.next_if(|next| !next.starts_with("--")).unwrap_or_default();
            given.insert(name.to_owned(), value);
        }
        Self(given)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    fn number(&self, name: &str, default: f64) -> f64 {
        self.0.get(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("--{name}: not a number")))
    }

    fn seconds(&self, name: &str, default: f64) -> Duration {
        Duration::from_secs_f64(self.number(name, default))
    }

    fn process(&self, name: &str) -> Option<u32> {
        self.0.get(name).map(|text| text.parse().unwrap_or_else(|_| panic!("--{name}: not a process")))
    }
}
