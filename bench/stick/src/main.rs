//! stick PORT APP_PORT KEYS [--cache]
//!
//! Bare hyper, tokio and rustls on one thread, with the minimal token check of a proxy: it measures the cost of the
//! libraries. It has no limits, deadlines, rules for headers, reload or log, and must not be used in production.
//! KEYS is the folder that bench/setup.sh makes.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{cell::RefCell, collections::HashMap, path::Path, rc::Rc, sync::Arc, time::SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const ISSUER: &str = "https://issuer.bench.test/";
const AUDIENCE: &str = "bench-api";
const CACHED: usize = 10_000;

struct Stick {
    app: String,
    client: Client<HttpConnector, Incoming>,
    tls: TlsAcceptor,
    /// Keys by `alg` and `kid`.
    keys: HashMap<(&'static str, &'static str), ParsedPublicKey>,
    /// Verified tokens with their `exp`.
    cache: Option<RefCell<HashMap<Vec<u8>, u64>>>,
}

#[derive(serde::Deserialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

#[derive(serde::Deserialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    exp: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, app, keys, rest @ ..] = arguments.as_slice() else { panic!("stick PORT APP_PORT KEYS [--cache]") };
    let port: u16 = port.parse().expect("a port");
    let stick = Rc::new(stick(app, Path::new(keys), rest.iter().any(|word| word == "--cache")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::task::spawn_local(serve(stream, Rc::clone(&stick)));
        }
    });
}

fn stick(app: &str, keys: &Path, cached: bool) -> Stick {
    let key = |name: &str| std::fs::read(keys.join(name)).expect("a key");
    let certificates = CertificateDer::pem_file_iter(keys.join("tls.crt")).expect("a certificate");
    let certificates = certificates.map(|one| one.expect("a certificate")).collect();
    let private = PrivateKeyDer::from_pem_file(keys.join("tls.key")).expect("a key");
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .expect("a pair");
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let rsa = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key("rs256.spki.der")).expect("an RSA key");
    let ecdsa = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key("es256.spki.der")).expect("a P-256 key");
    Stick {
        app: format!("http://127.0.0.1:{app}"),
        client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(256).build(connector),
        tls: TlsAcceptor::from(Arc::new(tls)),
        keys: HashMap::from([(("RS256", "rs256"), rsa), (("ES256", "es256"), ecdsa)]),
        cache: cached.then(RefCell::default),
    }
}

async fn serve(stream: TcpStream, stick: Rc<Stick>) {
    // A failure costs only speed.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = stick.tls.accept(stream).await else { return };
    let service = service_fn(|request| forward(request, &stick));
    // Clients may disconnect at any time.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn forward(
    mut request: Request<Incoming>,
    stick: &Stick,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Error> {
    if stick.verify(request.headers().get(header::AUTHORIZATION)).is_none() {
        let body = Full::new(Bytes::from_static(b"{\"error\":\"invalid_token\"}")).map_err(|never| match never {});
        let mut rejection = Response::new(body.boxed());
        *rejection.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(rejection);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = format!("{}{target}", stick.app).parse().expect("an address");
    request.headers_mut().remove(header::CONNECTION);
    Ok(stick.client.request(request).await?.map(BodyExt::boxed))
}

impl Stick {
    fn verify(&self, authorization: Option<&header::HeaderValue>) -> Option<()> {
        let token = authorization?.as_bytes().strip_prefix(b"Bearer ")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        if let Some(end) = self.cache.as_ref().and_then(|cache| cache.borrow().get(token).copied()) {
            return (end > now).then_some(());
        }
        let (signed, signature) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let (header, claims) = (BASE64URL.decode(header).ok()?, BASE64URL.decode(claims).ok()?);
        let header: Header = serde_json::from_slice(&header).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        if claims.iss != ISSUER || claims.aud != AUDIENCE || claims.exp <= now {
            return None;
        }
        let key = self.keys.get(&(header.alg, header.kid) as &(&str, &str))?;
        key.verify_sig(signed.as_bytes(), &BASE64URL.decode(signature).ok()?).ok()?;
        if let Some(cache) = &self.cache {
            let mut cache = cache.borrow_mut();
            if cache.len() >= CACHED {
                cache.clear();
            }
            cache.insert(token.to_vec(), claims.exp);
        }
        Some(())
    }
}
