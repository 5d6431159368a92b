// An endpoint that verifies with the public library: receiver.cjs PORT LOG SECRET. One JSON line per delivery.
const fs = require("node:fs");
const http = require("node:http");
const { Webhook } = require("standardwebhooks");

const [port, log, secret] = process.argv.slice(2);
const hook = new Webhook(secret);

const verifies = (body, headers) => {
  try {
    hook.verify(body, headers);
    return true;
  } catch {
    return false;
  }
};

http
  .createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      const line = {
        id: request.headers["webhook-id"],
        type: JSON.parse(body).event_type,
        verified: verifies(body, request.headers),
        forged: verifies(body.replace("shop", "ship"), request.headers),
      };
      fs.appendFileSync(log, JSON.stringify(line) + "\n");
      response.writeHead(line.verified ? 200 : 401).end();
    });
  })
  .listen(Number(port), "127.0.0.1", () => console.log("listening"));
