#!/usr/bin/env bash
# Runs all tests and installs their requirements: system packages, a Python environment, packages for Node, the
# binaries.
#
#   bash tests/run.sh
#
# CI=true (or HOOKGATE_IMAGE=1) also builds the static binary and runs it in an empty root, as the image does.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=${CARGO_TARGET_DIR:-target}
export VENV=${VENV:-$TARGET/venv}

heading() { printf '\n== %s ==\n' "$1"; }

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

# Arguments: a command, and the Debian package that provides it.
needs() {
    command -v "$1" >/dev/null || MISSING+=("$2")
}

install_packages() {
    MISSING=()
    needs cc build-essential
    needs python3 python3
    needs openssl openssl
    needs curl curl
    needs promtool prometheus
    needs redis-server redis-server
    needs nginx nginx
    needs haproxy haproxy
    needs node nodejs
    needs npm npm
    needs php php-cli
    needs java openjdk-17-jdk-headless
    python3 -c 'import ensurepip, venv' 2>/dev/null || MISSING+=(python3-venv)
    if [ ${#MISSING[@]} -eq 0 ]; then return; fi
    [ "$(id -u)" = 0 ] || fail "missing; install with: sudo apt-get install --no-install-recommends ${MISSING[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${MISSING[@]}" >/dev/null
    stop_service prometheus
    stop_service redis-server
    stop_service nginx
    stop_service haproxy
}

# Stops the service that a package starts, if this script has installed the package; an existing service keeps running.
stop_service() {
    [[ " ${MISSING[*]} " == *" $1 "* ]] || return 0
    if [ -d /run/systemd/system ]; then
        systemctl disable --quiet --now "$1" || true
    elif [ -x "/etc/init.d/$1" ]; then
        "/etc/init.d/$1" stop >/dev/null || true
    fi
}

make_environment() {
    [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
    local stamp=$VENV/requirements.txt
    if cmp -s tests/requirements.txt "$stamp"; then return; fi
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$stamp"
}

# Arguments: a folder with the packages of a Node program.
install_node_packages() {
    local folder=$1
    local stamp=$folder/node_modules/package-lock.json
    if cmp -s "$folder/package-lock.json" "$stamp"; then return; fi
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
    cp "$folder/package-lock.json" "$stamp"
}

static_binary() {
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target x86_64-unknown-linux-gnu
    export HOOKGATE_STATIC=$TARGET/x86_64-unknown-linux-gnu/release/hookgate
}

# Some tests keep thousands of connections open.
ulimit -n 16384 2>/dev/null || true

command -v cargo >/dev/null || fail "missing: a Rust toolchain of Cargo.toml's rust-version or later (rustup.rs)"

heading "requirements of the tests"
install_packages
make_environment
install_node_packages tests/e2e/oidc
install_node_packages tests/e2e/websocket

heading "unit and integration tests"
cargo test --locked

heading "end to end: FastAPI under uvicorn, PyJWT as the sender"
cargo build --locked
"$VENV/bin/python" tests/e2e/run.py --hookgate "$TARGET/debug/hookgate"

heading "end to end: SDKs of webhook providers, PyJWT and an OpenID provider as the senders"
"$VENV/bin/python" tests/e2e/senders.py --hookgate "$TARGET/debug/hookgate"

heading "end to end: applications that leave bodies unread"
"$VENV/bin/python" tests/e2e/unread_bodies.py --hookgate "$TARGET/debug/hookgate"

heading "end to end: clients of plain HTTP that offer HTTP/2, or close their side"
"$VENV/bin/python" tests/e2e/plain_clients.py --hookgate "$TARGET/debug/hookgate"

heading "end to end: WebSocket clients and servers in Python and Node"
"$VENV/bin/python" tests/e2e/websocket_tunnels.py --hookgate "$TARGET/debug/hookgate"

heading "end to end: gRPC, with the client and the server of grpcio"
"$VENV/bin/python" tests/e2e/grpc_calls.py --hookgate "$TARGET/debug/hookgate"

if [ -n "${CI:-}${HOOKGATE_IMAGE:-}" ]; then
    heading "the static binary"
    static_binary
fi

heading "deployment files"
bash tests/deploy.sh

heading "all passed"
