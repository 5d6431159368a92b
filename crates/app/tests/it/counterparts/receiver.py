"""An endpoint that verifies with the public library: receiver.py PORT LOG SECRET. One JSON line per delivery."""
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, log, secret = sys.argv[1:4]
hook = Webhook(secret)


def verifies(body, headers):
    try:
        hook.verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


class Hooks(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {
            "id": headers["webhook-id"],
            "type": json.loads(body)["event_type"],
            "verified": verifies(body, headers),
            "forged": verifies(body.replace("shop", "ship", 1), headers),
        }
        with open(log, "a") as file:
            file.write(json.dumps(line) + "\n")
        self.send_response(200 if line["verified"] else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", int(port)), Hooks)
print("listening", flush=True)
server.serve_forever()
