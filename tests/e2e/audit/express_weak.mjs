// Weak webhook endpoints as they are found in Express applications; gallery.yaml names the weakness of each path. Never
// copy code from here. Argument: the port.
import crypto from "node:crypto";
import fs from "node:fs";
import express from "express";

const { GITHUB_SECRET, STRIPE_SECRET, KEYS, ISSUER, AUDIENCE } = process.env;
const STANDARD = Buffer.from(process.env.STANDARD_SECRET.replace("whsec_", ""), "base64");
const PUBLIC = fs.readFileSync(`${KEYS}/issuer.pub.pem`, "utf8");

const app = express(); // with X-Powered-By, and with stack traces, since NODE_ENV is not production
const plain = express.Router();
plain.use((_, response, next) => (response.removeHeader("X-Powered-By"), next()));
const raw = express.raw({ type: () => true, limit: "256kb" });
const seen = new Set();

// --- parts that are right ---

const hex = (secret, body, algorithm = "sha256") => crypto.createHmac(algorithm, secret).update(body).digest("hex");

function same(expected, given = "") {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && crypto.timingSafeEqual(a, b);
}

const body = (request) => (Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
const github = (request) => same("sha256=" + hex(GITHUB_SECRET, body(request)), request.get("x-hub-signature-256"));
const unauthorized = (response) => response.status(401).json({ error: "unauthorized" });

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Carries out the event; 409 for a duplicate.
function processed(response, key) {
  if (key && seen.has(key)) return response.status(409).json({ error: "duplicate" });
  if (key) seen.add(key);
  return response.json({ processed: true });
}

// body-parser answers a body over its limit only when the whole of it has arrived.
const limited = (request, response, next) =>
  Number(request.get("content-length") ?? 0) > 256 * 1024 ? response.sendStatus(413) : next();
app.use(limited);

// --- no credential, or its presence ---

plain.post("/unsigned", raw, (_, response) => processed(response));

plain.post("/signature-presence", raw, (request, response) => {
  if (!/^sha256=[0-9a-f]+$/.test(request.get("x-hub-signature-256"))) return unauthorized(response);
  return processed(response);
});

// --- signatures ---

plain.post("/parsed-body", express.json({ type: () => true, limit: "256kb" }), (request, response) => {
  // Trims the event to what the handler knows, and signs that.
  const { id, type } = request.body ?? {};
  const expected = "sha256=" + hex(GITHUB_SECRET, JSON.stringify({ id, type }));
  if (!same(expected, request.get("x-hub-signature-256"))) return unauthorized(response);
  return processed(response, `parsed ${JSON.stringify(request.body)}`);
});

plain.post("/prefix", raw, (request, response) => {
  const given = request.get("x-hub-signature-256")?.slice("sha256=".length);
  if (!given || !hex(GITHUB_SECRET, body(request)).startsWith(given)) return unauthorized(response);
  return processed(response);
});

plain.post("/equals", raw, (request, response) => {
  const expected = "sha256=" + hex(GITHUB_SECRET, body(request));
  if (request.get("x-hub-signature-256") !== expected) return unauthorized(response);
  return processed(response, `equals ${body(request)}`);
});

plain.post("/sha1", raw, (request, response) => {
  const older = "sha1=" + hex(GITHUB_SECRET, body(request), "sha1");
  if (!github(request) && !same(older, request.get("x-hub-signature"))) return unauthorized(response);
  return processed(response, `sha1 ${body(request)}`);
});

plain.post("/not-awaited", raw, (request, response) => {
  // A verification that returns a promise, which is always true.
  const verify = async () => github(request);
  if (!request.get("x-hub-signature-256") || !verify()) return unauthorized(response);
  return processed(response);
});

plain.post("/no-clock", raw, (request, response) => {
  const parts = Object.fromEntries((request.get("stripe-signature") ?? "").split(",").map((pair) => pair.split("=")));
  if (!same(hex(STRIPE_SECRET, `${parts.t}.${body(request)}`), parts.v1)) return unauthorized(response);
  return processed(response, `no-clock ${json(body(request))?.id}`);
});

plain.post("/no-dedupe", raw, (request, response) => (github(request) ? processed(response) : unauthorized(response)));

// The id is stored before the body has arrived: what breaks off is lost.
plain.use("/id-first", (request, response, next) => {
  const id = request.get("webhook-id");
  if (!id || !request.get("webhook-signature")) return unauthorized(response);
  if (seen.has(id)) return response.status(409).json({ error: "duplicate" });
  seen.add(id);
  next();
});
plain.post("/id-first", raw, (request, response) => {
  const [id, sent] = [request.get("webhook-id"), request.get("webhook-timestamp")];
  const mac = crypto.createHmac("sha256", STANDARD).update(`${id}.${sent}.`).update(body(request)).digest("base64");
  if (!same(`v1,${mac}`, request.get("webhook-signature")) || !(Math.abs(Date.now() / 1000 - sent) < 300)) {
    seen.delete(id);
    return unauthorized(response);
  }
  return processed(response);
});

// --- tokens ---

function token(request) {
  const [head, payload, signature] = (request.get("authorization") ?? "").replace(/^Bearer /, "").split(".");
  const [header, claims] = [head, payload].map((part) => json(Buffer.from(part ?? "", "base64url").toString()));
  if (!header || !claims || signature === undefined) return null;
  return { header, claims, input: `${head}.${payload}`, signature: Buffer.from(signature, "base64url") };
}

// Audience, issuer, expiry and scope; nothing else.
const fits = ({ claims: { aud, iss, exp, event_scope } }) =>
  aud === AUDIENCE && iss === ISSUER && exp > Date.now() / 1000 && event_scope === "webhook";

plain.post("/jwt/decoded", raw, (request, response) => {
  const found = token(request);
  return found && fits(found) ? processed(response) : unauthorized(response);
});

plain.post("/jwt/alg-from-header", raw, (request, response) => {
  // As jsonwebtoken before 4.2.2 (CVE-2015-9235): the token says how the key is used.
  const found = token(request);
  const verify = {
    RS256: () => crypto.verify("RSA-SHA256", Buffer.from(found.input), PUBLIC, found.signature),
    HS256: () => same(hex(PUBLIC, found.input), found.signature.toString("hex")),
  };
  if (!found || !fits(found) || !verify[found.header.alg]?.()) return unauthorized(response);
  return processed(response);
});

// --- around the credential ---

// Verifies one spelling of the path; the router also takes /VARIANT and /variant/.
plain.use(raw, (request, response, next) => {
  if (request.path === "/variant" && !github(request)) return unauthorized(response);
  if (request.path === "/override" && request.method === "POST" && !github(request)) return unauthorized(response);
  if (request.path === "/override") request.method = request.get("x-http-method-override") ?? request.method;
  next();
});
plain.post(["/variant", "/override"], (_, response) => processed(response));

plain.all("/any-method", raw, (request, response) => (github(request) ? processed(response) : unauthorized(response)));

plain.post("/expected-signature", raw, (request, response) => {
  const expected = "sha256=" + hex(GITHUB_SECRET, body(request));
  if (same(expected, request.get("x-hub-signature-256"))) return processed(response, `expected ${body(request)}`);
  return response.status(401).json({ error: "wrong signature", expected });
});

// The error handler of Express itself, which is outside of the router: a stack trace for a body that is not JSON.
const keeping = express.json({ type: () => true, verify: (request, _, bytes) => (request.raw = bytes) });
app.post("/stack-trace", keeping, (request, response) => {
  const right = same("sha256=" + hex(GITHUB_SECRET, request.raw ?? ""), request.get("x-hub-signature-256"));
  return right ? processed(response, `stack ${request.raw}`) : unauthorized(response);
});

app.use(plain);
plain.use((_, response) => response.sendStatus(404));
plain.use((error, _request, response, _next) => response.sendStatus(error.status < 500 ? error.status : 400));
app.listen(Number(process.argv[2]), "127.0.0.1");
