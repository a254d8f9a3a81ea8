// A client over `ws`: node client.mjs URL TOKEN CA MESSAGE. It prints the echo.
import fs from "node:fs";
import WebSocket from "ws";

const [url, token, ca, message] = process.argv.slice(2);
const socket = new WebSocket(url, { ca: fs.readFileSync(ca), headers: { authorization: `Bearer ${token}` } });
socket.on("open", () => socket.send(message));
socket.on("message", (data) => {
  process.stdout.write(data.toString());
  socket.close(1000);
});
socket.on("unexpected-response", (_, response) => {
  process.stdout.write(`status ${response.statusCode}`);
  process.exit(1);
});
