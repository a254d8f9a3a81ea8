//! The Lua scripts.

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

/// All scripts.
pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) settle: Script,
    pub(super) take: Script,
    pub(super) touch: Script,
    pub(super) rewrite: Script,
    pub(super) revoked: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            reserve: Script::new(concat!(include_str!("epoch.lua"), include_str!("reserve.lua"))),
            settle: Script::new(include_str!("settle.lua")),
            take: Script::new(include_str!("take.lua")),
            touch: Script::new(concat!(include_str!("epoch.lua"), include_str!("touch.lua"))),
            rewrite: Script::new(include_str!("rewrite.lua")),
            revoked: Script::new(include_str!("revoked.lua")),
        }
    }

    /// Loads all scripts into the server, so that calls only send hashes.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut load = redis::pipe();
        for script in [&self.reserve, &self.settle, &self.take, &self.touch, &self.rewrite, &self.revoked] {
            load.load_script(script).ignore();
        }
        load.query_async(connection).await
    }
}

/// The response to store with a commit, as the scripts expect it.
pub(super) fn reply_argument(reply: Option<&[u8]>) -> Vec<u8> {
    reply.map_or_else(|| b"-".to_vec(), |reply| [b"+", reply].concat())
}

pub(super) fn hex(number: u64) -> String {
    format!("{number:016x}")
}
