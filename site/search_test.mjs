// Asks the search index of the built site as its search box does, and fails where the right page is not among the first
// three results: node site/search_test.mjs target/site
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runInThisContext } from "node:vm";

// Query, and the pages of which one must be among the first three.
const QUERIES = {
    "mTLS": ["how-to/mtls.html", "concepts/tls.html"],
    "TLS termination": ["concepts/tls.html", "how-to/tls-certificates.html"],
    "rate limit": ["how-to/rate-limits.html", "concepts/limits.html"],
    "key rotation": ["how-to/key-rotation.html", "concepts/keys.html"],
    "dry run": ["how-to/dry-run.html"],
    "IP allowlist": ["how-to/ip-allowlist.html"],
    "health check": ["operate/health-checks.html"],
    "clock skew": ["operate/clock-skew.html"],
    "409": ["operate/runbook.html"],
    "invalid_signature": ["operate/runbook.html"],
    "duplicate_request": ["operate/runbook.html"],
    "store_unavailable": ["operate/runbook.html"],
    "upstream_timeout": ["operate/runbook.html"],
    "buffer_full": ["operate/runbook.html"],
    "rate_limited": ["operate/runbook.html"],
    "payload too large": ["operate/runbook.html"],
    "readiness": ["operate/health-checks.html"],
    "out of memory": ["operate/capacity.html"],
    "OOMKilled": ["operate/capacity.html"],
    "CrashLoopBackOff": ["operate/reload-and-restart.html"],
    "rollback": ["operate/reload-and-restart.html"],
    "restart": ["operate/reload-and-restart.html", "concepts/reload.html"],
    "bind upstream to loopback": ["how-to/loopback.html"],
    "docker compose": ["how-to/docker-compose.html", "project/examples.html", "project/fastapi-stripe.html"],
    "ngrok": ["how-to/tunnels.html"],
    "cloudflared": ["how-to/tunnels.html"],
    "ALLOWED_HOSTS": ["how-to/frameworks.html"],
    "Express": ["project/express-github.html", "how-to/frameworks.html"],
    "Auth0": ["issuers.html"],
    "Entra": ["issuers.html"],
    "Keycloak": ["issuers.html"],
    "Kong": ["comparison.html"],
    "Caddy": ["how-to/behind-a-proxy.html", "comparison.html", "concepts/proxies.html"],
    "smuggling": ["concepts/request-lifecycle.html", "attacks.html", "conformance.html"],
};

const site = process.argv[2] ?? "target/site";
const file = (pattern) => readFileSync(join(site, readdirSync(site).find((name) => pattern.test(name))), "utf8");

// Both files define globals of a page: `elasticlunr`, and `window.search`.
globalThis.window = globalThis;
globalThis.search = {};
runInThisContext(file(/^elasticlunr-.*\.js$/));
runInThisContext(file(/^searchindex-.*\.js$/));
const { index, doc_urls: urls, search_options: options } = globalThis.search;
const searcher = globalThis.elasticlunr.Index.load(index);

let failures = 0;
for (const [query, pages] of Object.entries(QUERIES)) {
    const found = searcher.search(query, options).map((result) => urls[Number(result.ref)]);
    const first = found.slice(0, 3);
    const right = first.some((url) => pages.includes(url.split("#")[0]));
    failures += right ? 0 : 1;
    console.log(`${right ? "ok    " : "FAILED"} ${query}: ${first.join(", ")}`);
}
process.exit(failures ? 1 : 0);
