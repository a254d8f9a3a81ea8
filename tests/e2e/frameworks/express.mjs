// Tells how Express sees a request. Arguments: the port, and the value of "trust proxy".
import { createRequire } from "node:module";

const express = createRequire(`${process.cwd()}/`)("express");
const app = express();
if (process.argv[3]) app.set("trust proxy", process.argv[3]);
app.get("/*path", (request, response) => {
  response.json({ url: `${request.protocol}://${request.host}${request.originalUrl}`, client: request.ip });
});
app.listen(process.argv[2], "127.0.0.1");
