#!/usr/bin/env bash
# Installs the peers, builds the gateway and the tools, makes keys and tokens, and checks that every peer accepts good
# tokens and rejects bad ones. For Debian 12 with Rust; can be run again.
#
#   bench/setup.sh
#
# All files except Debian packages go to target/bench, or $BENCH_DIR. $HOOKGATE_BIN: a gateway that is built already.
# $TOKENS: good tokens of each kind (300000). Signing takes a minute or two; existing files are kept.
set -euo pipefail
cd "$(dirname "$0")/.."

BENCH_DIR=$(realpath -m "${BENCH_DIR:-target/bench}")
export BENCH_DIR
VENV=$BENCH_DIR/venv
BUILD=$BENCH_DIR/build
KEYS=$BENCH_DIR/keys
TOKENS=${TOKENS:-300000}
export PATH=$PATH:/usr/sbin

install_packages() {
    local missing=()
    command -v cc >/dev/null || missing+=(build-essential)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v nginx >/dev/null || missing+=(nginx)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    if [ "$(id -u)" != 0 ]; then
        echo "missing; install with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    # Prevents the package from starting its service.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

make_environment() {
    [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
}

build() {
    local tool
    for tool in load stick; do
        # Pinned by lock files, so that figures of another day have the same library versions.
        cargo build --release --locked --manifest-path "bench/$tool/Cargo.toml" --target-dir "$BUILD"
    done
    if [ -z "${HOOKGATE_BIN:-}" ]; then cargo build --release --locked --target-dir target; fi
}

make_keys() {
    if [ -e "$KEYS/jwks.json" ]; then return; fi
    mkdir -p "$KEYS"
    (
        cd "$KEYS"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.crt -days 3650 \
            -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
        cat tls.crt tls.key >tls.pem
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rs256.pem 2>/dev/null
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out es256.pem
        for name in rs256 es256; do
            openssl pkcs8 -topk8 -nocrypt -in "$name.pem" -outform DER -out "$name.pkcs8.der"
            openssl pkey -in "$name.pem" -pubout -out "$name.pub.pem"
            openssl pkey -in "$name.pem" -pubout -outform DER -out "$name.spki.der"
        done
        "$VENV/bin/python" - <<'PYTHON'
import json, pathlib
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

keys = []
for name, kind in (("rs256", RSAAlgorithm), ("es256", ECAlgorithm)):
    public = load_pem_public_key(pathlib.Path(f"{name}.pub.pem").read_bytes())
    keys.append(kind.to_jwk(public, as_dict=True) | {"kid": name, "alg": name.upper(), "use": "sig", "key_ops": ["verify"]})
pathlib.Path("jwks.json").write_text(json.dumps({"keys": keys}))
PYTHON
    )
}

# ALGORITHM NAME KIND ISSUER AUDIENCE COUNT: makes a file of COUNT tokens, unless one exists.
tokens() {
    local file=$BENCH_DIR/tokens/$1-$2.txt
    if [ "$(wc -l 2>/dev/null <"$file" || echo 0)" -ge "$6" ]; then return; fi
    "$BUILD/release/tokens" "$1" "$KEYS/$1.pkcs8.der" "$1" "$4" "$5" "$6" "$3" >"$file.new"
    mv "$file.new" "$file"
}

make_tokens() {
    local issuer=https://issuer.bench.test/ audience=bench-api name
    mkdir -p "$BENCH_DIR/tokens"
    for name in rs256 es256; do
        tokens $name good good $issuer $audience "$TOKENS"
        tokens $name bad bad $issuer $audience 10000
        tokens $name expired expired $issuer $audience 1
        tokens $name audience good $issuer other-api 1
        tokens $name issuer good https://other.bench.test/ $audience 1
    done
}

install_packages
make_environment
build
make_keys
make_tokens
python3 bench/run.py --check
