// Webhook endpoints in Express that are right: the methods of Octokit, and Standard Webhooks. Argument: the port.
import { createHash } from "node:crypto";
import { verify } from "@octokit/webhooks-methods";
import express from "express";
import { Webhook } from "standardwebhooks";

const { GITHUB_SECRET, STANDARD_SECRET } = process.env;
const REJECTIONS = 40; // of an address in a minute, before the response is 429

const app = express();
app.disable("x-powered-by");
const raw = express.raw({ type: () => true, limit: "256kb" });
const seen = new Set();
const rejected = new Map();

// The same response for every reason; 429 for an address with many.
function reject(request, response, status = 401) {
  const recent = (rejected.get(request.ip) ?? []).filter((at) => at > Date.now() - 60_000);
  rejected.set(request.ip, [...recent, Date.now()]);
  return response.sendStatus(recent.length >= REJECTIONS ? 429 : status);
}

// body-parser answers a body over its limit only when the whole of it has arrived.
const limited = (request, response, next) =>
  Number(request.get("content-length") ?? 0) > 256 * 1024 ? reject(request, response, 413) : next();
app.use(limited);

app.post("/github", raw, async (request, response) => {
  const signature = request.get("x-hub-signature-256");
  const body = Buffer.isBuffer(request.body) ? request.body.toString() : "";
  // The package throws for a signature that is missing or empty.
  if (!body || !signature || !(await verify(GITHUB_SECRET, body, signature).catch(() => false))) {
    return reject(request, response);
  }
  // X-GitHub-Delivery is not signed: the body is the id.
  const id = createHash("sha256").update(request.body).digest("hex");
  if (seen.has(id)) return response.json({ received: true, duplicate: true });
  handle(body);
  seen.add(id); // after success; nothing awaits in between
  return response.json({ received: true });
});

const webhook = new Webhook(STANDARD_SECRET);
app.post("/standard", raw, (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body, request.headers);
  } catch {
    return reject(request, response);
  }
  const id = request.get("webhook-id");
  if (seen.has(id)) return response.sendStatus(409);
  handle(event);
  seen.add(id);
  return response.json({ received: true });
});

function handle(_event) {}

app.use((request, response) => reject(request, response, 404));
app.use((error, request, response, _next) => reject(request, response, error.status ?? 400));
app.listen(Number(process.argv[2]), "127.0.0.1");
