// A handler that reads no body, as most do for GET.
const seen = [];
const respond = (request, response) => {
  if (request.url === "/seen") return response.end(JSON.stringify(seen));
  seen.push(`${request.method} ${request.url}`);
  response.end(`this is ${request.url}`);
};
require("http").createServer(respond).listen(Number(process.argv[2]), "127.0.0.1");
