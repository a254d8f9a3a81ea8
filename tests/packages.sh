#!/usr/bin/env bash
# Makes the packages of a release with deploy/package.sh, installs each as its user would, uses it, and removes it. Compiles the
# release only if it is not there, static and for this machine.
#
# VENV is the folder of the Python tools (default target/venv); missing tools are installed there. The Debian package is installed
# into this system only as root in CI (CI=true), and if no file of it is there; elsewhere it prints SKIPPED.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export VENV=${VENV:-target/venv}
TARGET=$(rustc -vV | sed -n 's/^host: //p')
WORK=$(mktemp -d)
BINARY=$WORK/made/hookgate-$TARGET
VERSION=$(sed -n '0,/^version = /s/^version = "\(.*\)"$/\1/p' Cargo.toml)

main() {
    trap clean_up EXIT
    install_tools
    quietly deploy/package.sh "$TARGET" "$WORK/made"
    [[ $(grep -c 'Compiling hookgate' "$WORK/output") -le 1 ]] || fail "the wheel compiled the release again"
    check_archive
    check_wheel
    check_debian_package
    install_debian_package
    echo "packages: all good"
}

clean_up() {
    local status=$?
    rm -rf "$WORK"
    exit "$status"
}

good() { echo "ok: $*"; }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# A command's output matters only if it fails.
quietly() {
    "$@" >"$WORK/output" 2>&1 || {
        cat "$WORK/output" >&2
        fail "$*"
    }
}

install_tools() {
    [[ -x $VENV/bin/python ]] || quietly python3 -m venv "$VENV"
    local stamp=$VENV/packages-requirements.txt
    if ! cmp -s tests/packages/requirements.txt "$stamp"; then
        quietly "$VENV/bin/pip" install --quiet --disable-pip-version-check -r tests/packages/requirements.txt
        cp tests/packages/requirements.txt "$stamp"
    fi
}

# Cargo.toml tells `cargo binstall` the name and the layout of the archive.
check_archive() {
    local name program
    name=$(binstall pkg-url)
    program=$(binstall bin-dir)
    [[ -f $WORK/made/${name##*/} ]] || fail "no ${name##*/}, which pkg-url names"
    mkdir "$WORK/archive"
    tar -xf "$WORK/made/${name##*/}" -C "$WORK/archive"
    cmp -s "$BINARY" "$WORK/archive/$program" || fail "no $program in the archive, which bin-dir names"
    bash -n "$WORK/archive/${program%/*}/completions/hookgate.bash"
    good "${name##*/} (as cargo binstall expects it)"
}

# A template of Cargo.toml, with its variables replaced.
binstall() {
    sed -n "s/^$1 = \"\(.*\)\"$/\1/p" Cargo.toml |
        sed -e 's/{ \(name\|bin\) }/hookgate/g' -e "s/{ target }/$TARGET/g" -e "s/{ version }/$VERSION/g"
}

check_wheel() {
    local wheel
    wheel=$(echo "$WORK"/made/*.whl)
    [[ $wheel == *"/hookgate-$VERSION-py3-none-manylinux2014_"*".manylinux_2_17_"* ]] || fail "the tags of $wheel"
    quietly python3 -m venv "$WORK/venv"
    quietly "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$wheel"
    cmp -s "$BINARY" "$WORK/venv/bin/hookgate" || fail "the wheel has another binary"
    quietly "$WORK/venv/bin/hookgate" demo --once
    quietly "$WORK/venv/bin/pip" uninstall --quiet --yes hookgate
    [[ -z $(find "$WORK/venv" -name '*hookgate*') ]] || fail "the wheel is not removed"
    good "${wheel##*/} (installed, demo, removed)"
}

check_debian_package() {
    PACKAGE=$(echo "$WORK"/made/*.deb)
    if command -v lintian >/dev/null; then quietly lintian --fail-on error,warning "$PACKAGE"; fi
    dpkg-deb --info "$PACKAGE" conffiles >"$WORK/output"
    [[ $(cat "$WORK/output") == /etc/hookgate/gateway.yaml.example ]] || fail "conffiles: $(cat "$WORK/output")"
    good "${PACKAGE##*/}"
}

install_debian_package() {
    if [[ -z ${CI:-} || $(id -u) != 0 || -n $(installed_files) ]]; then
        echo "SKIPPED: the installation of the Debian package (only as root in CI)"
        return
    fi
    quietly dpkg --install "$PACKAGE"
    cmp -s "$BINARY" /usr/bin/hookgate || fail "/usr/bin/hookgate"
    check_service
    quietly dpkg --remove hookgate
    [[ ! -e /usr/bin/hookgate && -e /etc/hookgate/gateway.yaml ]] || fail "the removal"
    rm -r /etc/hookgate/gateway.yaml /etc/hookgate/certs
    quietly dpkg --purge hookgate
    [[ -z $(installed_files) ]] || fail "left after the purge: $(installed_files)"
    if getent passwd hookgate >/dev/null; then fail "the user is left after the purge"; fi
    good "the Debian package (installed, configured, removed, purged)"
}

installed_files() { find /etc /usr /lib /var/lib -xdev -name '*hookgate*'; }

# The service as an administrator sets it up: not before there is a configuration, whose keys only its group can read.
check_service() {
    if command -v systemd-analyze >/dev/null; then
        quietly systemd-analyze verify --man=no hookgate.service
        [[ ! -s $WORK/output ]] || fail "hookgate.service: $(cat "$WORK/output")"
    fi
    [[ -L /etc/systemd/system/multi-user.target.wants/hookgate.service ]] || fail "the service is not enabled"
    (
        cd /etc/hookgate
        quietly hookgate dev-certs --dir certs
        chgrp -R hookgate certs && chmod 0640 certs/*
        cp gateway.yaml.example gateway.yaml
        quietly setpriv --reuid hookgate --regid hookgate --clear-groups hookgate check gateway.yaml
    )
    # Docker's images of Debian leave man pages out.
    if [[ -e /usr/share/man/man1/hookgate.1.gz ]] && command -v man >/dev/null; then
        quietly man --warnings hookgate-explain
        [[ $(cat "$WORK/output") == *"explain "* ]] || fail "man hookgate-explain"
    fi
}

main
