//! `jwks.cache`: a restart while the issuer is unreachable.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::configuration::Jwks;
use crate::support::key_server::{KeyServer, ok};
use crate::support::{Gateway, Issuer, NOW, Setup, Upstream, until};

/// The files of a gateway that has fetched its keys, and an issuer that is stopped.
struct Left {
    upstream: Upstream,
    issuer: Issuer,
    server: KeyServer,
    folder: TempDir,
}

impl Left {
    async fn behind() -> Self {
        let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
        let server = KeyServer::start(ok(&issuer.jwks())).await;
        let mut left = Self { upstream, issuer, server, folder: TempDir::new().unwrap() };
        let gateway = left.gateway(|jwks| jwks);
        until("the set is on disk", async || left.cache().exists()).await;
        drop(gateway);
        left.server.stop().await;
        left
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("acme.json")
    }

    fn gateway(&self, change: impl FnOnce(Jwks) -> Jwks) -> Gateway {
        let cache = self.cache();
        self.server.gateway(&self.upstream, &self.issuer, |jwks| change(jwks.cache(cache.to_str())))
    }

    /// The status that a new gateway returns for a good token once it is ready.
    async fn restarted(&self, change: impl FnOnce(Jwks) -> Jwks) -> u16 {
        let gateway = self.gateway(change);
        until("the gateway is ready", async || gateway.admin("/readyz").await.status == 200).await;
        gateway.client().post(&gateway.token()).await.status.as_u16()
    }

    /// The cache with a member changed.
    fn change(&self, name: &str, value: Value) {
        let mut file: Value = serde_json::from_slice(&std::fs::read(self.cache()).unwrap()).unwrap();
        file[name] = value;
        std::fs::write(self.cache(), file.to_string()).unwrap();
    }

    fn set_mode(&self, mode: u32) {
        std::fs::set_permissions(self.cache(), std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[tokio::test]
async fn a_restart_without_the_issuer_verifies_from_the_cache_until_it_is_stale() {
    let left = Left::behind().await;
    left.change("fetched_at", (NOW - 3600).into());
    let gateway = left.gateway(|jwks| jwks.max_stale("2h"));
    until("the gateway is ready", async || gateway.admin("/readyz").await.status == 200).await;
    let token = left.issuer.token_with(json!({"exp": NOW + 90_000}));
    assert_eq!(gateway.client().post(&token).await.status, 200);
    // Its age counts from the fetch, not from the start.
    gateway.clock.forward(3600);
    assert_eq!(gateway.client().post(&token).await.status, 200);
    gateway.clock.forward(1);
    assert_eq!(gateway.client().post(&token).await.problem(), (503, "jwks_unavailable".into()));
}

#[tokio::test]
async fn a_cache_that_is_stale_or_from_the_future_is_ignored() {
    let left = Left::behind().await;
    for (fetched_at, expected) in [(NOW - 7200, 200), (NOW - 7201, 503), (NOW + 1, 503), (NOW, 200)] {
        left.change("fetched_at", fetched_at.into());
        assert_eq!(left.restarted(|jwks| jwks.max_stale("2h")).await, expected, "{fetched_at}");
    }
}

#[tokio::test]
async fn a_cache_writable_by_others_is_ignored() {
    let left = Left::behind().await;
    for mode in [0o644, 0o660, 0o602] {
        left.set_mode(mode);
        assert_eq!(left.restarted(|jwks| jwks).await, 503, "{mode:o}");
    }
    left.set_mode(0o600);
    assert_eq!(left.restarted(|jwks| jwks).await, 200);
    let real = left.folder.path().join("real.json");
    std::fs::rename(left.cache(), &real).unwrap();
    symlink(&real, left.cache()).unwrap();
    assert_eq!(left.restarted(|jwks| jwks).await, 503);
}

#[tokio::test]
async fn a_cache_of_another_address_or_with_other_bytes_is_ignored() {
    let left = Left::behind().await;
    let whole = std::fs::read(left.cache()).unwrap();
    let file: Value = serde_json::from_slice(&whole).unwrap();
    let other = json!({"url": "http://localhost:9/jwks.json", "issuer": null, "trust": file["bound_to"]["trust"]});
    left.change("bound_to", other);
    assert_eq!(left.restarted(|jwks| jwks).await, 503);
    std::fs::write(left.cache(), &whole).unwrap();
    assert_eq!(left.restarted(|jwks| jwks).await, 200);
    // No keys, and keys that would not be accepted from the network either.
    for keys in ["eyJrZXlzIjpbXX0=", "eyJrZXlzIjpbeyJrdHkiOiJvY3QiLCJrIjoiQUFBQSJ9XX0=", "e30=", "AAAA", "?"] {
        left.change("keys", keys.into());
        assert_eq!(left.restarted(|jwks| jwks).await, 503, "{keys}");
    }
    std::fs::write(left.cache(), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(left.restarted(|jwks| jwks).await, 503);
}

/// A bad file has no effect while the issuer is reachable, and the next good fetch replaces it.
#[tokio::test]
async fn a_good_fetch_replaces_the_cache_and_a_bad_one_does_not() {
    let mut left = Left::behind().await;
    std::fs::write(left.cache(), "nonsense").unwrap();
    left.server.start_again().await;
    let next = Issuer::es256("k2");
    left.server.answers(ok(&format!("{{\"keys\":[{},{}]}}", left.issuer.jwk(), next.jwk())));
    let gateway = left.gateway(|jwks| jwks.cooldown("10ms").refresh_interval("20ms"));
    until("the cache is good again", async || read(&left.cache()).is_some()).await;
    assert_eq!(std::fs::metadata(left.cache()).unwrap().permissions().mode() & 0o777, 0o600);
    left.server.answers(ok("{}"));
    let before = left.server.fetches();
    until("bad responses were checked", async || left.server.fetches() > before + 2).await;
    drop(gateway);
    left.server.stop().await;
    assert_eq!(left.restarted(|jwks| jwks).await, 200);
    let gateway = left.gateway(|jwks| jwks);
    until("the gateway is ready", async || gateway.admin("/readyz").await.status == 200).await;
    assert_eq!(gateway.client().post(&next.token(&crate::support::claims())).await.status, 200);
    assert_eq!(std::fs::read_dir(left.folder.path()).unwrap().count(), 1);
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// A cache that cannot be written is a warning only.
#[tokio::test]
async fn a_folder_that_is_not_there_hinders_no_fetch() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server
        .gateway(&upstream, &issuer, |jwks| jwks.cache("gone/acme.json").cooldown("10ms").refresh_interval("20ms"));
    until("the set was fetched twice", async || server.fetches() > 2).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

/// A relative path is resolved against the folder of the YAML file; with discovery, the cache stores the issuer.
#[tokio::test]
async fn a_discovered_set_is_cached_next_to_the_configuration() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let iss = server.url();
    let document = json!({ "issuer": iss, "jwks_uri": format!("{iss}/keys") }).to_string();
    server.answers_at("/.well-known/openid-configuration", ok(&document));
    let jwks = Jwks::discovery().cache("acme.json");
    let setup =
        Setup::new(upstream.address).top(|top| top.issuer("acme", |issuer| issuer.issuer(iss.as_str()).jwks(jwks)));
    let gateway = setup.issuer(issuer).start();
    until("the set is on disk", async || read(&gateway.path("acme.json")).is_some()).await;
    let file = read(&gateway.path("acme.json")).unwrap();
    assert_eq!((&file["bound_to"]["issuer"], &file["fetched_at"]), (&json!(iss), &json!(NOW)));
    assert_eq!(file["bound_to"]["url"], json!(format!("{iss}/.well-known/openid-configuration")));
}
