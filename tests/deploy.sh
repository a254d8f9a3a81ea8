#!/usr/bin/env bash
# Checks everything in deploy/ with the tools that its readers would use.
#
#     tests/deploy.sh                                   the files
#     HOOKGATE_STATIC=path/to/hookgate tests/deploy.sh  also the image, as far as that goes without a container engine:
#                                                       the static binary in an empty root, with the image's user and
#                                                       a DNS server; with Buildah the image itself
#
# VENV is the folder of the Python tools (default target/venv); missing tools are installed there.
# A check that cannot run fails, except two that print "SKIPPED": systemd without its tools, the image without root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=${VENV:-target/venv}
MANIFEST=deploy/kubernetes/sidecar.yaml
IMAGE_ID=65532 # the image's user, see deploy/Dockerfile
NAMESERVER=127.53.53.53
WAIT=30       # the longest wait for a condition, in seconds
WORK=$(mktemp -d)
STARTED=()    # process ids to end

main() {
    trap clean_up EXIT
    install_tools
    check_scripts
    check_dockerfile
    check_examples
    check_release
    check_workflows
    check_manifest
    check_prometheus
    check_systemd
    if [[ -n ${HOOKGATE_STATIC:-} ]]; then
        check_image
    fi
    echo "deploy: all good"
}

clean_up() {
    local status=$? pid
    for pid in "${STARTED[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$WORK"
    exit "$status"
}

good() { echo "ok: $*"; }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# A check's output matters only if it fails.
quietly() {
    "$@" >"$WORK/output" 2>&1 || {
        cat "$WORK/output" >&2
        fail "$*"
    }
}

# Waits until a command succeeds.
until_true() {
    local what=$1 end=$((SECONDS + WAIT))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "$what: not within $WAIT s"
        sleep 0.05
    done
}

# --- the files -------------------------------------------------------------------------------------------------------

install_tools() {
    [[ -x $VENV/bin/python ]] || quietly python3 -m venv "$VENV"
    local stamp=$VENV/deploy-requirements.txt
    if ! cmp -s tests/deploy/requirements.txt "$stamp"; then
        quietly "$VENV/bin/pip" install --quiet --disable-pip-version-check -r tests/deploy/requirements.txt
        cp tests/deploy/requirements.txt "$stamp"
    fi
    local tool
    for tool in promtool openssl curl; do
        command -v "$tool" >/dev/null || fail "$tool is missing (promtool: Debian's package prometheus)"
    done
}

# The bill of materials against the schema of CycloneDX and against Cargo.lock.
check_release() {
    quietly python3 deploy/sbom.py
    cp "$WORK/output" "$WORK/sbom.json"
    quietly "$VENV/bin/python" tests/deploy/sbom.py "$WORK/sbom.json"
    good "deploy/sbom.py (CycloneDX schema, Cargo.lock)"
}

# Workflows against the schema of GitHub and by zizmor, which among others rejects actions that are not pinned by commit.
# actionlint runs on GitHub: its wheel fetches the program from there.
check_workflows() {
    quietly "$VENV/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
    quietly "$VENV/bin/check-jsonschema" --builtin-schema vendor.dependabot .github/dependabot.yml
    quietly "$VENV/bin/zizmor" --offline --no-progress .github
    good ".github (schemas, zizmor)"
}

check_scripts() {
    quietly "$VENV/bin/shellcheck" .ci/run tests/*.sh fuzz/*.sh bench/*.sh deploy/*.sh deploy/debian/p*
    good "scripts (shellcheck)"
}

check_dockerfile() {
    quietly "$VENV/bin/hadolint" deploy/Dockerfile
    good "deploy/Dockerfile (hadolint)"
}

check_examples() {
    quietly "$VENV/bin/hadolint" examples/*/Dockerfile
    quietly "$VENV/bin/check-jsonschema" --builtin-schema vendor.compose-spec examples/*/compose.yaml
    quietly "$VENV/bin/python" tests/deploy/compose.py examples/*
    good "examples (hadolint, the schema of Compose, compose.yaml agrees with gateway.yaml)"
}

check_manifest() {
    local documents passed
    documents=$("$VENV/bin/python" tests/deploy/manifest.py check "$MANIFEST") || fail "$MANIFEST breaks a rule"
    quietly "$VENV/bin/kubernetes-validate" --strict "$MANIFEST"
    # For an unknown kind the validator only warns, and exits with 0.
    passed=$(grep -c '^INFO .* passed for resource' "$WORK/output") || true
    [[ $passed == "$documents" ]] || fail "$MANIFEST: $passed of $documents documents validated"
    good "$MANIFEST ($documents documents, strict)"
}

check_prometheus() {
    local folder=deploy/prometheus
    quietly promtool check config --lint=all --lint-fatal "$folder/prometheus.yml"
    check_prometheus_kubernetes "$folder"
    quietly promtool check rules --lint=all --lint-fatal "$folder/alerts.yml"
    quietly promtool test rules "$folder/alerts_test.yml"
    good "$folder (configurations, rules, rule tests)"
}

# Debian builds promtool without Kubernetes discovery: there, the file is checked without that block.
check_prometheus_kubernetes() {
    local file=$1/prometheus-kubernetes.yml
    if promtool check config --lint=all --lint-fatal "$file" >"$WORK/output" 2>&1; then
        return
    fi
    grep -q 'field kubernetes_sd_configs not found' "$WORK/output" || {
        cat "$WORK/output" >&2
        fail "$file"
    }
    cp "$1/alerts.yml" "$WORK/alerts.yml"
    sed -e 's/kubernetes_sd_configs:/static_configs:/' -e 's/- role: pod/- targets: ["127.0.0.1:9901"]/' \
        "$file" >"$WORK/prometheus-kubernetes.yml"
    quietly promtool check config --lint=all --lint-fatal "$WORK/prometheus-kubernetes.yml"
}

check_systemd() {
    if ! command -v systemd-analyze >/dev/null; then
        echo "SKIPPED: deploy/systemd (no systemd-analyze here)"
        return
    fi
    # The unit can be checked without an installed program.
    sed 's#^\(Exec[A-Za-z]*\)=hookgate #\1=/bin/true #' deploy/systemd/hookgate.service >"$WORK/hookgate.service"
    quietly systemd-analyze verify --man=no "$WORK/hookgate.service"
    [[ ! -s $WORK/output ]] || fail "deploy/systemd/hookgate.service: $(cat "$WORK/output")"
    quietly systemd-analyze security --offline=true --threshold=20 "$WORK/hookgate.service"
    quietly systemd-sysusers --dry-run "$PWD/deploy/systemd/hookgate.sysusers"
    good "deploy/systemd (verify, exposure at most 2.0)"
}

# --- the image -------------------------------------------------------------------------------------------------------

check_image() {
    if ! chroot --userspec="$IMAGE_ID:$IMAGE_ID" / /bin/true 2>/dev/null; then
        echo "SKIPPED: the image (chroot needs root)"
        return
    fi
    [[ -x $HOOKGATE_STATIC ]] || fail "HOOKGATE_STATIC=$HOOKGATE_STATIC is not an executable"
    build_image
    make_certificates
    check_manifest_config
    start_issuer_and_app
    start_gateway
    check_requests
    check_drain
    good "the image (empty root, user $IMAGE_ID, names by DNS)"
}

# The last stage of deploy/Dockerfile with this binary, and nothing but the binary is in the image. Where Buildah is missing,
# the binary itself is tested.
build_image() {
    if ! command -v buildah >/dev/null; then
        [[ -z ${CI:-} ]] || fail "buildah is missing (Debian's package buildah)"
        echo "SKIPPED: the image as Buildah builds it (no buildah here)"
        return
    fi
    local container root
    mkdir "$WORK/build"
    install "$HOOKGATE_STATIC" "$WORK/build/hookgate"
    quietly in_storage build --isolation chroot --build-context "build=$WORK/build" --file deploy/Dockerfile --tag hookgate .
    [[ $(in_storage inspect --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}' hookgate) == \
        "$IMAGE_ID:$IMAGE_ID [/hookgate] [run --config /etc/hookgate/gateway.yaml]" ]] || fail "the image's user or command"
    container=$(in_storage from hookgate)
    root=$(in_storage mount "$container")
    [[ $(cd "$root" && find . ! -name .) == ./hookgate ]] || fail "the image has other files: $(find "$root")"
    HOOKGATE_STATIC=$root/hookgate
    good "deploy/Dockerfile (built by Buildah, only the binary)"
}

# Buildah without a daemon, and without traces outside of $WORK.
in_storage() { buildah --root "$WORK/storage" --runroot "$WORK/storage-run" --storage-driver vfs "$@"; }

# A test CA, and the certificates of the gateway and of the issuer.
make_certificates() {
    openssl_new_key ca
    quietly openssl req -x509 -new -key "$WORK/ca.key" -out "$WORK/ca.crt" -days 1 -subj "/CN=deploy test CA" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
    sign_certificate server
    sign_certificate issuer
}

openssl_new_key() {
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$WORK/$1.key"
}

sign_certificate() {
    local name=$1
    openssl_new_key "$name"
    printf '%s\n' "basicConstraints=critical,CA:FALSE" "extendedKeyUsage=serverAuth" \
        "subjectAltName=DNS:localhost,DNS:issuer.test,IP:127.0.0.1" >"$WORK/$name.ext"
    quietly openssl req -new -key "$WORK/$name.key" -subj "/CN=localhost" -out "$WORK/$name.csr"
    quietly openssl x509 -req -in "$WORK/$name.csr" -CA "$WORK/ca.crt" -CAkey "$WORK/ca.key" -CAcreateserial \
        -days 1 -extfile "$WORK/$name.ext" -out "$WORK/$name.crt"
}

# The files of the image and its mounts, owned as with the manifest's fsGroup. Container engines and the kubelet also
# add /etc/hosts and /etc/resolv.conf.
make_root() {
    local root=$1
    mkdir -p "$root/etc/hookgate" "$root/etc/hookgate-tls"
    install -m 0555 "$HOOKGATE_STATIC" "$root/hookgate"
    install -m 0444 "$WORK/ca.crt" "$root/etc/hookgate-tls/ca.crt"
    install -m 0440 -g "$IMAGE_ID" "$WORK/server.crt" "$root/etc/hookgate-tls/tls.crt"
    install -m 0440 -g "$IMAGE_ID" "$WORK/server.key" "$root/etc/hookgate-tls/tls.key"
    echo "127.0.0.1 localhost" >"$root/etc/hosts"
    echo "nameserver $NAMESERVER" >"$root/etc/resolv.conf"
    chmod -R go-w "$root"
    chmod 0755 "$root" "$root/etc" "$root/etc/hookgate" "$root/etc/hookgate-tls"
}

in_root() {
    local root=$1
    shift
    chroot --userspec="$IMAGE_ID:$IMAGE_ID" "$root" /hookgate "$@"
}

# The ConfigMap's gateway.yaml is valid at its path in the pod, and `check` reads it.
check_manifest_config() {
    local root=$WORK/pod status=0
    make_root "$root"
    "$VENV/bin/python" tests/deploy/manifest.py gateway "$MANIFEST" >"$root/etc/hookgate/gateway.yaml"
    quietly in_root "$root" check --config /etc/hookgate/gateway.yaml
    echo "surprise: 1" >>"$root/etc/hookgate/gateway.yaml"
    in_root "$root" check --config /etc/hookgate/gateway.yaml >"$WORK/output" 2>&1 || status=$?
    [[ $status == 64 ]] || fail "check of an unknown key: expected exit 64, got $status"
    good "the manifest's gateway.yaml (hookgate check)"
}

start_issuer_and_app() {
    local helper=("$VENV/bin/python" tests/deploy/issuer.py)
    quietly "${helper[@]}" keys "$WORK"
    mkdir "$WORK/public"
    cp "$WORK/jwks.json" "$WORK/public/jwks.json"
    "${helper[@]}" serve "$WORK" "$WORK/public" &
    STARTED+=($!)
    "${helper[@]}" names "$WORK" "$NAMESERVER" &
    STARTED+=($!)
    "${helper[@]}" app "$WORK" &
    STARTED+=($!)
    until_true "the issuer listens" test -s "$WORK/issuer.port"
    until_true "the DNS server listens" test -s "$WORK/names.port"
    until_true "the upstream listens" test -s "$WORK/app.port"
}

free_port() {
    "$VENV/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_gateway() {
    GATEWAY_PORT=$(free_port)
    ADMIN_PORT=$(free_port)
    make_root "$WORK/image"
    write_gateway_yaml >"$WORK/image/etc/hookgate/gateway.yaml"
    # Not with in_root: a function in the background runs in a subshell, whose process id would be recorded below.
    # chroot becomes the gateway by exec.
    chroot --userspec="$IMAGE_ID:$IMAGE_ID" "$WORK/image" /hookgate run --config /etc/hookgate/gateway.yaml \
        >"$WORK/gateway.log" 2>&1 &
    GATEWAY=$!
    STARTED+=("$GATEWAY")
    until_true "the gateway is ready" ready_or_dead
    kill -0 "$GATEWAY" 2>/dev/null || gateway_failed "the process ended before it was ready"
}

write_gateway_yaml() {
    cat <<YAML
workers: 1
drain: { delay: 1s, timeout: 5s }
listeners:
  - address: "127.0.0.1:$GATEWAY_PORT"
    tls: { certificates: [{ cert: /etc/hookgate-tls/tls.crt, key: /etc/hookgate-tls/tls.key }] }
admin: { address: "127.0.0.1:$ADMIN_PORT" }
issuers:
  test:
    issuer: https://issuer.test/
    algorithms: [RS256]
    jwks: { url: "https://issuer.test:$(cat "$WORK/issuer.port")/jwks.json", ca: /etc/hookgate-tls/ca.crt }
routes:
  - name: orders
    match: { path: /webhook, methods: [POST] }
    upstream: { url: "http://127.0.0.1:$(cat "$WORK/app.port")" }
    auth:
      jwt:
        issuer: test
        audience: https://api.test/webhook
        required_claims: [iss, aud, exp, nbf]
        claims: { event_scope: webhook }
    replay_protection: disabled
YAML
}

admin_status() {
    curl --silent --max-time 5 --noproxy '*' --output "$WORK/admin" --write-out '%{http_code}' \
        "http://127.0.0.1:$ADMIN_PORT$1" || true
}

ready_or_dead() {
    ! kill -0 "$GATEWAY" 2>/dev/null || [[ $(admin_status /readyz) == 200 ]]
}

gateway_failed() {
    cat "$WORK/gateway.log" >&2
    fail "the image: $*"
}

# post NAME [curl options]: prints the status, and writes headers and body to $WORK/NAME.*
post() {
    local name=$1
    shift
    curl --silent --show-error --max-time "$WAIT" --cacert "$WORK/ca.crt" --noproxy '*' \
        --resolve "localhost:$GATEWAY_PORT:127.0.0.1" --dump-header "$WORK/$name.head" --output "$WORK/$name.body" \
        --write-out '%{http_code}' --data-binary "@$WORK/event.json" --header "Content-Type: application/json" "$@" \
        "https://localhost:$GATEWAY_PORT/webhook" || gateway_failed "no response to a request ($name)"
}

check_requests() {
    local token status digest
    printf '{"event": "order.paid", "total": 12.50}\n' >"$WORK/event.json"
    digest=$(sha256sum "$WORK/event.json" | cut -d' ' -f1)
    token=$("$VENV/bin/python" tests/deploy/issuer.py token "$WORK" https://issuer.test/ https://api.test/webhook)

    status=$(post rejected)
    [[ $status == 401 ]] || gateway_failed "without a token: expected 401, got $status"
    grep -qi '^server: hookgate' "$WORK/rejected.head" || gateway_failed "the 401 is not the gateway's"
    [[ ! -e $WORK/app.log ]] || gateway_failed "a request without a token reached the upstream"

    status=$(post forwarded --header "Authorization: Bearer $token")
    [[ $status == 200 ]] || gateway_failed "with a good token: expected 200, got $status: $(cat "$WORK/forwarded.body")"
    [[ $(cat "$WORK/forwarded.body") == taken ]] || gateway_failed "the response is not from the upstream"
    [[ $(cat "$WORK/app.log") == "POST /webhook $digest" ]] || gateway_failed "the upstream got: $(cat "$WORK/app.log")"

    status=$(admin_status /livez)
    [[ $status == 200 ]] || gateway_failed "/livez: expected 200, got $status"
    status=$(admin_status /metrics)
    [[ $status == 200 ]] || gateway_failed "/metrics: expected 200, got $status"
    quietly promtool check metrics <"$WORK/admin"
    check_alerted_metrics
}

# A renamed metric would silently disable its alerts. Metrics without a sample are not rendered, so only those with
# samples in this run are checked; process_* need /proc, which a container runtime mounts and an empty chroot lacks.
check_alerted_metrics() {
    local name
    for name in hookgate_requests_total hookgate_request_duration_seconds_bucket hookgate_tls_handshakes_total \
        hookgate_jwks_keys hookgate_jwks_last_success_timestamp_seconds hookgate_jwks_refreshes_total \
        hookgate_config_last_reload_successful hookgate_certificate_expiry_timestamp_seconds; do
        grep -q "\b$name\b" deploy/prometheus/alerts.yml || fail "alerts.yml does not use $name"
        grep -q "^${name}[{ ]" "$WORK/admin" || gateway_failed "/metrics has no $name, which alerts.yml uses"
    done
    grep -q '^hookgate_jwks_refreshes_total{.*result="success"' "$WORK/admin" || gateway_failed "no refresh counted as success"
    grep -q '^hookgate_tls_handshakes_total{.*result="success"' "$WORK/admin" || gateway_failed "no handshake counted as success"
}

check_drain() {
    local status=0
    kill -TERM "$GATEWAY"
    until_true "the gateway ends after SIGTERM" ended "$GATEWAY"
    wait "$GATEWAY" || status=$?
    [[ $status == 0 ]] || gateway_failed "after SIGTERM: expected exit 0, got $status"
}

ended() { ! kill -0 "$1" 2>/dev/null; }

main "$@"
