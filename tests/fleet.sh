#!/bin/sh
# Runs the losses of Redis in their full size (tests/fleet/losses.rs), about ten minutes, and prints a row for each.
# usage: tests/fleet.sh [BINARY]: the gateway to run, such as that of a former version; by default that of this tree.
set -eu
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
    HOOKGATE_BINARY=$(realpath "$1")
    export HOOKGATE_BINARY
fi
HOOKGATE_FULL=1 exec cargo test --locked --test integration fleet::losses -- --nocapture --test-threads 1
