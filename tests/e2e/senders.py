"""End to end with third-party senders: SDKs of webhook providers, PyJWT, and an OpenID provider on Node.

    npm ci --prefix tests/e2e/oidc
    python tests/e2e/senders.py --hookgate target/debug/hookgate
"""
import json
import sys

import oidc_sender
import pyjwt_senders
import webhook_sdks
from checks import main, named, no_secret_is_in_the_log
from harness import World

GROUPS = [webhook_sdks, pyjwt_senders, oidc_sender]


class Senders(World):
    """Each group adds its issuers and routes; each route has its own host."""

    def prepare(self):
        self.issuers, self.routes, self.secrets = {}, [], []
        for group in GROUPS:
            group.prepare(self)

    def add_route(self, name, auth):
        self.routes.append({
            "name": name,
            "match": {"host": f"{name}.test", "path": "/*"},
            "upstream": {"url": f"http://127.0.0.1:{self.app_port}"},
            "auth": auth,
            **({"replay_protection": "disabled"} if "jwt" in auth else {}),
        })

    def secret_file(self, name, secret):
        self.secrets.append(secret)
        self.write(name, secret)
        return {"file": name}

    def configuration(self):
        """JSON is YAML."""
        tls = {"certificates": [{"cert": "certs/server.crt", "key": "certs/server.key"}]}
        return json.dumps({
            "listeners": [{"address": f"127.0.0.1:{self.port}", "tls": tls}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "issuers": self.issuers,
            "routes": self.routes,
        }, indent=1)


def no_credential_is_in_the_log(world):
    no_secret_is_in_the_log(world, *world.secrets)


CHECKS = {}
for group in GROUPS:
    CHECKS |= group.CHECKS
CHECKS |= named(no_credential_is_in_the_log)  # last, because it reads the whole log

if __name__ == "__main__":
    sys.exit(main(__doc__, Senders, CHECKS))
