//! The Lua scripts, and a call of a script.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

/// A script, with its SHA-1 hash for EVALSHA.
pub(super) struct Script {
    text: &'static str,
    sha: String,
}

/// All scripts.
pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) settle: Script,
    pub(super) take: Script,
    pub(super) touch: Script,
    pub(super) revoked: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            reserve: script(concat!(include_str!("epoch.lua"), include_str!("reserve.lua"))),
            settle: script(include_str!("settle.lua")),
            take: script(include_str!("take.lua")),
            touch: script(concat!(include_str!("epoch.lua"), include_str!("touch.lua"))),
            revoked: script(include_str!("revoked.lua")),
        }
    }

    /// Loads all scripts into the server, so that calls only send hashes.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut load = redis::pipe();
        for script in [&self.reserve, &self.settle, &self.take, &self.touch, &self.revoked] {
            load.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
        }
        load.query_async(connection).await
    }
}

fn script(text: &'static str) -> Script {
    Script { text, sha: redis::Script::new(text).get_hash().to_owned() }
}

/// A script with its keys and arguments.
pub(super) struct Call<'a> {
    pub(super) script: &'a Script,
    pub(super) keys: &'a [&'a str],
    pub(super) args: Vec<Vec<u8>>,
}

impl Call<'_> {
    /// The EVALSHA command.
    pub(super) fn command(&self) -> Cmd {
        self.written("EVALSHA", &self.script.sha)
    }

    /// Executes the call in one round trip, or in two after `SCRIPT FLUSH`.
    pub(super) async fn on<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> RedisResult<T> {
        match self.command().query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.written("EVAL", self.script.text).query_async(connection).await
            }
            other => other,
        }
    }

    fn written(&self, verb: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(self.keys.len()).arg(self.keys).arg(&self.args);
        command
    }
}
