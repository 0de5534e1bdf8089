// The same answers from the http module of Node.js: `node node_app.js PORT-OR-PATH MODULE:ATTRIBUTE`.
"use strict";

const http = require("http");

const HELLO = "Hello, world!";
const JSON_HEAD = { "content-type": "application/json" };
const CHUNK = "c".repeat(1024);

function collect(request, done) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => done(Buffer.concat(parts)));
}

function answer(response, type, body) {
  response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const hello = (request, response) => answer(response, "text/plain", HELLO);

const applications = {
  "apps:plaintext": hello,
  "watch:watched": hello,
  "apps:echo": (request, response) =>
    collect(request, (body) => answer(response, "application/octet-stream", body)),
  "apps:upload": (request, response) => {
    let length = 0;
    request.on("data", (part) => (length += part.length));
    request.on("end", () => answer(response, "text/plain", String(length)));
  },
  "apps:stream": (request, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    for (let number = 0; number < 16; number += 1) response.write(CHUNK);
    response.end();
  },
  "fastapi_app:app": (request, response) =>
    answer(
      response,
      JSON_HEAD["content-type"],
      JSON.stringify({ id: 42, name: "benchmark", tags: ["a", "b", "c"], price: 12.5 }),
    ),
};

const [place, application] = process.argv.slice(2);
const server = http.createServer(applications[application]);
server.keepAliveTimeout = 75000;
server.listen(/^\d+$/.test(place) ? { port: Number(place), host: "127.0.0.1" } : { path: place });
process.on("SIGTERM", () => process.exit(0));
