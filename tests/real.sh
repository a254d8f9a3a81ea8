#!/bin/sh
# Sends signed requests by clients as they are installed (JDK, Go, Node, Python, Ruby, PHP, curl), through nginx, HAProxy,
# Varnish and Envoy, to uvicorn, gunicorn, Express and Puma (tests/e2e/real.py), and unusual plain HTTP
# (tests/e2e/plain_clients.py). About five minutes. From the registries of Python and Node it installs 600 MB below target;
# programs that are missing are skipped. On Debian, all of them are in
#
#     apt-get install --no-install-recommends openjdk-17-jdk-headless ruby puma varnish nginx haproxy php-cli nodejs npm curl
#
# usage: tests/real.sh [--all] [BINARY]        --all fails if a program is missing
set -eu
cd "$(dirname "$0")/.."
all=
if [ "${1:-}" = --all ]; then
    all=--all
    shift
fi
REAL=${CARGO_TARGET_DIR:-target}/real
[ -x "$REAL/bin/python" ] || python3 -m venv "$REAL"
"$REAL/bin/pip" install --quiet --disable-pip-version-check -r tests/e2e/real/requirements.txt
npm ci --prefix tests/e2e/real --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
PATH=$(realpath "$REAL")/bin:$PATH:/usr/sbin
export PATH
gateway=${1:-${CARGO_TARGET_DIR:-target}/debug/hookgate}
# shellcheck disable=SC2086
"$REAL/bin/python" tests/e2e/real.py $all --hookgate "$gateway"
"$REAL/bin/python" tests/e2e/plain_clients.py --hookgate "$gateway"
