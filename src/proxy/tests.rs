//! A gateway without routes, sockets or workers.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::connection_info::ForwardedInfo;
use super::*;
use crate::acme::Acme;
use crate::clock::SystemClock;
use crate::jwks::Jwks;
use crate::limit::{ChallengeLimit, MemoryQuota, RequestLimits};
use crate::metrics::{Metrics, PoolName};
use crate::route::table::RoutingTable;
use crate::snapshot::{ConfigHash, ErrorDetail, SharedSnapshot};

pub(crate) fn gateway(runtime: &tokio::runtime::Runtime) -> Gateway {
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new().unwrap()));
    let snapshot = Snapshot {
        routes: RoutingTable::default(),
        listeners: Vec::new(),
        error_detail: ErrorDetail::Standard,
        max_buffered_bytes: 0,
        trusted_proxies: Vec::new(),
        config_hash: ConfigHash([0; 32]),
        yaml_hash: String::new(),
    };
    let services = Services {
        snapshot: SharedSnapshot::new(Arc::new(snapshot)),
        jwks: Arc::new(Jwks::new(clock.clone(), Arc::clone(&metrics), runtime.handle().clone())),
        acme: Arc::new(Acme::new(clock.clone(), Arc::clone(&metrics))),
        clock,
        metrics,
        access_log: false,
        buffered: MemoryQuota::new(PoolName::BufferedBodies),
        waiting: MemoryQuota::new(PoolName::WaitingRequests),
        challenges: ChallengeLimit::default(),
        store: None,
        limits: RequestLimits::default(),
    };
    Gateway { services: Arc::new(services), upstreams: Arc::default(), alive: mpsc::channel(1).0 }
}

/// A client on a TLS connection, without a certificate.
pub(crate) fn unauthenticated_client() -> ConnectionInfo {
    ConnectionInfo {
        address: SocketAddr::from(([127, 0, 0, 1], 9)).into(),
        named: true,
        secure: true,
        forwarded: ForwardedInfo::default(),
        listener: 0,
        client_certificate: None,
        server_name: None,
        limits: Arc::default(),
        progress: Arc::default(),
    }
}

/// hyper handles the next request of a pipeline at once unless something makes it wait: a client of rejected requests
/// would keep the worker to itself.
#[test]
fn a_rejected_request_yields_to_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let gateway = gateway(&runtime);
    let connection = unauthenticated_client();
    let request = Request::get("/nowhere").header("host", "a.example").body(Bytes::new()).unwrap();
    let mut answer = pin!(gateway.handle(request, &connection));
    let mut context = Context::from_waker(Waker::noop());
    assert!(answer.as_mut().poll(&mut context).is_pending());
    let Poll::Ready(response) = answer.as_mut().poll(&mut context) else { panic!("nothing else is waited for") };
    assert_eq!(response.status(), 404);
}
