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
