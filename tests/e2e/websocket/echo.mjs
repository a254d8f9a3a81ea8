// An echo server over `ws`, with compression: node echo.mjs PORT. `/node/reject` gets 403 instead of 101.
import http from "node:http";
import { WebSocketServer } from "ws";

const server = http.createServer((request, response) => response.end("up"));
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true, handleProtocols: (offered) => [...offered][0] });
server.on("upgrade", (request, socket, head) => {
  if (request.url.startsWith("/node/reject")) {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (opened) => {
    opened.on("message", (data, isBinary) => opened.send(data, { binary: isBinary }));
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
