// Sends one signed body in each way of Node's clients. Arguments: URL, signature, body; the CA is in NODE_EXTRA_CA_CERTS.
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { readFileSync } from "node:fs";

const [, , url, signature, body, ca] = process.argv;
const headers = { "X-Hub-Signature-256": signature };
const target = new URL(url);

const simple = await fetch(url, { method: "POST", headers, body });
console.log(simple.status, "fetch");
const stream = new ReadableStream({
  start(controller) {
    controller.enqueue(new TextEncoder().encode(body));
    controller.close();
  },
});
const streamed = await fetch(url, { method: "POST", headers, body: stream, duplex: "half" });
console.log(streamed.status, "fetch, chunked");

const library = target.protocol === "https:" ? https : http;
for (const [name, more] of [["request", { "Content-Length": Buffer.byteLength(body) }], ["request, chunked", {}]]) {
  await new Promise((resolve, reject) => {
    const request = library.request(url, { method: "POST", headers: { ...headers, ...more } }, (response) => {
      console.log(response.statusCode, name);
      response.resume().on("end", resolve);
    });
    request.on("error", reject);
    request.write(body.slice(0, 5));
    request.end(body.slice(5));
  });
}

if (target.protocol === "https:") {
  const session = http2.connect(target.origin, { ca: readFileSync(ca) });
  await new Promise((resolve, reject) => {
    const request = session.request({ ":method": "POST", ":path": target.pathname, ...headers });
    request.on("response", (got) => console.log(got[":status"], "http2"));
    request.on("error", reject).on("end", resolve).resume();
    request.end(body);
  });
  session.close();
}
