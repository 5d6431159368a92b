// Stands between a server and who judges its answers, and damages them: a judge that sees nothing judges nothing.
"use strict";

const http = require("node:http");

const { cleanups, freePort } = require("./processes.js");

async function whole(stream) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks);
}

// `damage` gets status, text and path of every answer, and gives the status and the text to send.
async function damaging(upstream, damage) {
    const handle = async (request, response) => {
        const body = await whole(request);
        const asked = http.request(upstream + request.url, { method: request.method, headers: request.headers, timeout: 40_000 });
        const answer = await new Promise((resolve, reject) => asked.once("response", resolve).once("error", reject).end(body));
        const [status, text] = damage(answer.statusCode, (await whole(answer)).toString(), request.url);
        const { connection, "content-length": _, "transfer-encoding": __, ...headers } = answer.headers;
        response.writeHead(status, headers).end(text);
    };
    const middle = http.createServer((request, response) => {
        handle(request, response).catch(() => response.destroy());
    });
    const port = await freePort();
    await new Promise((resolve) => middle.listen(port, "127.0.0.1", resolve));
    cleanups.push(() => new Promise((resolve) => { middle.closeAllConnections(); middle.close(resolve); }));
    return `http://127.0.0.1:${port}`;
}

module.exports = { damaging };
