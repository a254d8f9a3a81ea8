//! `check --online`: connects to each server that the configuration names, and reports each with its place.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::config::{NamedServer, Problem};
use crate::jwks;
use crate::proxy::upstream;

/// The longest time for one server; all are tried at the same time.
const MAX_TIME: Duration = Duration::from_secs(10);

/// The result for each server, in their order: what was found, or the problem.
pub(super) fn probe(servers: &[(Problem, NamedServer)]) -> std::io::Result<Vec<Result<Problem, Problem>>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let start = |(_, server): &(Problem, NamedServer)| {
        let server = server.clone();
        runtime.spawn(async { timeout(MAX_TIME, reach(server)).await })
    };
    let tasks: Vec<_> = servers.iter().map(start).collect();
    let results = servers.iter().zip(tasks).map(|((place, _), task)| {
        let found = match runtime.block_on(task) {
            Ok(Ok(found)) => found,
            Ok(Err(_late)) => Err(format!("no result within {} s", MAX_TIME.as_secs())),
            Err(error) => Err(error.to_string()),
        };
        let told = |message| Problem { message, ..place.clone() };
        found.map(told).map_err(told)
    });
    let results = results.collect();
    // A name look-up that hangs does not delay the exit.
    runtime.shutdown_background();
    Ok(results)
}

async fn reach(server: NamedServer) -> Result<String, String> {
    match server {
        NamedServer::KeySet(keys) => {
            let set = jwks::fetch_once(&keys).await.map_err(|error| format!("cannot fetch the keys: {error}"))?;
            Ok(format!("ok, fetched from {}, usable keys: {}", keys.source.url, set.len()))
        }
        NamedServer::Upstream(endpoint) => match upstream::probe(&endpoint).await {
            Ok(()) => Ok(format!("ok, connected to {}", endpoint.url)),
            Err(error) => Err(format!("cannot connect to {}: {error}", endpoint.url)),
        },
    }
}
