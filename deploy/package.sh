#!/usr/bin/env bash
# Makes the packages of a release for one target: the static binary and its archive, a Python wheel that carries it and, for
# glibc, a Debian package. The same sources and commit give the same bytes.
#
#     deploy/package.sh TARGET FOLDER
#
# A release build that is there already, static and for TARGET, is not compiled again. The machine must be able to run it: it
# prints its completions and man pages. Needs tests/packages/requirements.txt in $VENV or in the PATH.
# MAINTAINER is the maintainer of the Debian package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$1
mkdir -p "$2"
folder=$(realpath "$2")
binary=${CARGO_TARGET_DIR:-target}/$target/release/hookgate
PATH=$(realpath -m "${VENV:-target/venv}")/bin:$PATH

STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
VERSION=$(sed -n '0,/^version = /s/^version = "\(.*\)"$/\1/p' Cargo.toml)
MAINTAINER=${MAINTAINER:-Local build <builder@example.org>}
# The time of all files. Not exported: a changed SOURCE_DATE_EPOCH makes cargo compile the C code again, and all that uses it.
TIME=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export RUSTFLAGS="-C target-feature=+crt-static"

main() {
    cargo build --release --locked --target "$target"
    install -m 0755 "$binary" "$folder/hookgate-$target"
    python3 deploy/sbom.py "$target" >"$folder/hookgate-$target.cdx.json"
    make_archive
    case $target in
    *-gnu) make_wheel manylinux_2_17 ;;
    *-musl) make_wheel musllinux_1_2 ;;
    esac
    case $target in
    x86_64-*-gnu) make_debian_package amd64 ;;
    aarch64-*-gnu) make_debian_package arm64 ;;
    esac
}

make_archive() {
    local name=hookgate-$target
    local root=$STAGE/$name shell
    mkdir -p "$root/completions"
    install -m 0755 "$binary" "$root/hookgate"
    install -m 0644 LICENSE "$root/LICENSE"
    "$binary" man "$root/man"
    for shell in bash:hookgate.bash zsh:_hookgate fish:hookgate.fish; do
        "$binary" completions "${shell%%:*}" >"$root/completions/${shell#*:}"
    done
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mode=go-w --mtime="@$TIME" \
        --directory "$STAGE" "$name" | gzip -9n >"$folder/$name.tar.gz"
}

# Arguments: the C library whose systems the wheel is for, as in the tags of wheels. The binary itself needs none.
make_wheel() {
    maturin build --release --target "$target" --compatibility "$1" --auditwheel check --out "$folder"
}

# Arguments: the architecture, in Go's words.
make_debian_package() {
    cp -r "$STAGE/hookgate-$target/." "$STAGE"
    gzip -9n "$STAGE"/man/*
    gzip -9nc CHANGELOG.md >"$STAGE/changelog.gz"
    printf 'hookgate (%s) stable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$VERSION" "$MAINTAINER" \
        "$(date -uRd "@$TIME")" | gzip -9nc >"$STAGE/changelog.Debian.gz"
    cp "$folder/hookgate-$target.cdx.json" "$STAGE/sbom.cdx.json"
    find "$STAGE" -exec touch --date "@$TIME" {} +
    STAGE=$STAGE VERSION=$VERSION MAINTAINER=$MAINTAINER GOARCH=$1 SOURCE_DATE_EPOCH=$TIME \
        nfpm package --config deploy/nfpm.yaml --packager deb --target "$folder/"
}

main
