"""Puts the fragment of gateway.yaml of each audit rule into a whole file, which `hookgate check` must accept.

    target/venv/bin/python tests/e2e/audit/fragments.py --hookgate BINARY
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

RULES = pathlib.Path(__file__).resolve().parents[3] / "src/cli/audit/rules.yaml"
TOP = {"listeners", "issuers", "trusted_proxies", "error_detail"}
STRIPE = {"preset": "stripe", "secret": {"env": "STRIPE_SECRET"}}
JWT = {"jwt": {"issuer": "acme", "audience": "https://api.example.com/webhook"}}
KEY_SET = {"url": "https://issuer.example.com/jwks.json"}
ISSUER = {"issuer": "https://issuer.example.com/", "algorithms": ["RS256"], "jwks": KEY_SET}
CERTIFICATE = {"cert": "certs/server.crt", "key": "certs/server.key"}


def whole(fragment):
    """A file with the fragment."""
    upstream = {"url": "http://127.0.0.1:8000"}
    route = {"name": "webhook", "match": {"path": "/webhook", "methods": ["POST"]}, "upstream": upstream}
    is_top = fragment.keys() <= TOP
    assert is_top or not fragment.keys() & TOP, "keys of both levels"
    route |= {} if is_top else fragment
    route.setdefault("auth", JWT if "issuers" in fragment else STRIPE)
    uses_tokens = "jwt" in route["auth"]
    if uses_tokens:
        route.setdefault("replay_protection", {"id": {"claim": "jti"}})
    return {
        "listeners": [{"address": "127.0.0.1:8443", "tls": {"certificates": [CERTIFICATE]}}],
        "store": {"type": "memory"},
        **({"issuers": {"acme": ISSUER}} if uses_tokens else {}),
        **(fragment if is_top else {}),
        "routes": [route],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True, help="the binary")
    hookgate = str(pathlib.Path(parser.parse_args().hookgate).resolve())
    secrets = {name: "0123456789abcdef" * 2 for name in ["STRIPE_SECRET", "GITHUB_SECRET", "SECRET", "TOKEN"]}
    rules, failed = yaml.safe_load(RULES.read_text())["rules"], 0
    with tempfile.TemporaryDirectory() as folder:
        run = lambda *arguments: subprocess.run([hookgate, *arguments], cwd=folder, env=os.environ | secrets,
                                                capture_output=True, text=True)
        run("dev-certs", "--dir", "certs").check_returncode()
        for rule in rules:
            file = whole(yaml.safe_load(rule["fix"]["hookgate"]))
            (pathlib.Path(folder) / "gateway.yaml").write_text(json.dumps(file, indent=1))
            done = run("check", "--config", "gateway.yaml")
            if done.returncode:
                failed += 1
                print(f"{rule['id']}: {done.stdout}{done.stderr}")
    print(f"{len(rules)} fragments, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
