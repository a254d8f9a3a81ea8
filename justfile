# Commands of this repository. `just` alone lists them; it is installed by `cargo install just` or `pip install rust-just`.

# Lists the recipes.
_list:
    @just --list --unsorted

# Formats the code.
fmt:
    cargo fmt

# Compiles without tests; the quickest answer while editing.
check:
    cargo check --all-targets --locked

# Runs clippy as CI does: a warning is an error.
lint:
    cargo clippy --all-targets --locked -- -D warnings

# Unit and integration tests: no root, no packages; minutes. Tests that need Redis, nginx or HAProxy run where these are.
unit:
    bash tests/run.sh unit

# Tests whose names contain NAME.
test NAME:
    cargo test --locked {{ NAME }}

# All tests, with those of real clients and servers. Says what it installs; as root installs Debian packages.
all:
    bash tests/run.sh

# The CI gate, or some of its steps: `just ci`, `just ci formatting spelling`.
ci *STEPS:
    bash .ci/run {{ STEPS }}

# Checks the spelling and the dependencies: seconds.
quick:
    bash .ci/run tools formatting spelling unused_dependencies advisories

# Writes the generated pages of docs/reference and the golden files again. Read the diff.
generate:
    HOOKGATE_WRITE=1 cargo test --locked --test integration documents
    TRYCMD=overwrite INSTA_UPDATE=always cargo test --locked --test integration golden

# Builds the documentation site into target/site, and checks its links and its search.
docs:
    bash site/build.sh

# Builds the documentation of the code.
rustdoc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Shows the gateway against attacks, for a look at what it does.
demo:
    cargo run --release --locked -- demo --once

# Each fuzz target for SECONDS. Needs a nightly toolchain and cargo-fuzz.
fuzz SECONDS="60" *TARGETS:
    bash fuzz/smoke.sh {{ SECONDS }} {{ TARGETS }}

# Clients, proxies and applications as they are installed; five minutes, 600 MB below target.
real:
    cargo build --locked
    sh tests/real.sh

# Losses of Redis in their full size; ten minutes.
fleet:
    sh tests/fleet.sh

# Counts the instructions of a request with Valgrind. Needs PyJWT, which tests/run.sh installs.
instructions:
    cargo build --release --locked
    "${VENV:-${CARGO_TARGET_DIR:-target}/venv}/bin/python" bench/instructions.py "${CARGO_TARGET_DIR:-target}/release/hookgate"
