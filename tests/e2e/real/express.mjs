// An Express application that parses JSON and keeps the bytes; BODY is the body that it expects. Argument: its port.
import express from "express";

const app = express();
app.use(express.json({ type: () => true, verify: (request, _, raw) => (request.raw = raw) }));
app.get("/*path", (_, response) => response.end());
app.post("/*path", (request, response) => {
  response.status(request.raw?.toString() === process.env.BODY ? 200 : 500).end();
});
app.listen(Number(process.argv[2]), "127.0.0.1");
