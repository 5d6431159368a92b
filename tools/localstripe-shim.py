"""Makes localstripe reachable from outside its network namespace, and speak the parameters that it lacks.

Run inside a namespace whose only interface is the loopback: localstripe binds all interfaces. This process
starts it, serves it on a Unix socket, and takes its webhooks. It imports nothing of localstripe's.

localstripe knows fewer parameters than Stripe. What is done about that, and nothing else:
- confirm: `payment_method` is set by an update before; `error_on_requires_action` and `return_url` are dropped;
- capture: `metadata` is set by an update before;
- a list of payment intents by `created`: all pages are read, and filtered here.
Everything else goes through as it is, and what localstripe does not know it refuses.

Beside Stripe's API: GET /_calls, /_hooks, /_interfaces; POST /_fault takes the `end` of a path and `when`, and drops
the connection of the next request to such a path before or after localstripe has had it.
"""

import asyncio
import base64
import json
import sys

from aiohttp import ClientSession, web

PORT, HOOKS = 8420, 8421
calls, hooks, faults = [], [], {}


def parsed(body):
    from urllib.parse import parse_qsl

    return parse_qsl(body.decode(), keep_blank_values=True)


async def send(session, method, path, pairs, headers):
    from urllib.parse import urlencode

    body = urlencode(pairs) if method == "POST" else None
    kept = {name: headers[name] for name in ("Authorization", "Content-Type") if name in headers}
    if method == "POST":
        kept["Content-Type"] = "application/x-www-form-urlencoded"
    url = f"http://127.0.0.1:{PORT}{path}"
    async with session.request(method, url, data=body, headers=kept) as answer:
        return answer.status, await answer.read()


def created_within(query):
    """Which times of creation a query asks for, as a test; nothing where it does not say."""
    tests = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    bounds = [(tests[end], int(query[f"created[{end}]"])) for end in tests if f"created[{end}]" in query]
    return (lambda one: all(test(one["created"], bound) for test, bound in bounds)) if bounds else None


async def intents_within(session, query, wanted, headers):
    """A page of the payment intents that were made at some time, newest first as Stripe lists them."""
    found, after = [], ""
    while True:
        status, body = await send(session, "GET", f"/v1/payment_intents?limit=100{after}", [], headers)
        if status != 200:
            return status, body
        page = json.loads(body)
        found += page["data"]
        if not page["has_more"]:
            break
        after = f"&starting_after={page['data'][-1]['id']}"
    found = sorted(filter(wanted, found), key=lambda one: one["created"], reverse=True)
    ids = [one["id"] for one in found]
    begin = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
    end = begin + int(query.get("limit", 10))
    page |= {"data": found[begin:end], "has_more": end < len(found)}
    return 200, json.dumps(page).encode()


async def forward(request):
    session = request.app["session"]
    pairs = parsed(await request.read())
    path, method = request.path_qs, request.method
    calls.append({"method": method, "path": request.path, "key": request.headers.get("Idempotency-Key")})
    due = next((end for end in faults if request.path.endswith(end)), None)
    fault = faults.pop(due, None)
    if fault == "before":
        request.transport.abort()
        return web.Response()
    before = []
    if method == "POST" and request.path.endswith("/confirm"):
        before = [pair for pair in pairs if pair[0] == "payment_method"]
        dropped = ("payment_method", "error_on_requires_action", "return_url")
        pairs = [pair for pair in pairs if pair[0] not in dropped]
    elif method == "POST" and request.path.endswith("/capture"):
        before = [pair for pair in pairs if pair[0].startswith("metadata[")]
        pairs = [pair for pair in pairs if not pair[0].startswith("metadata[")]
    status, body = 200, b""
    wanted = created_within(request.query) if request.path == "/v1/payment_intents" else None
    if wanted:
        status, body = await intents_within(session, request.query, wanted, request.headers)
    elif before:
        status, body = await send(session, "POST", request.path.rsplit("/", 1)[0], before, request.headers)
    if status == 200 and not wanted:
        status, body = await send(session, method, path, pairs, request.headers)
    if fault == "after":
        request.transport.abort()
        return web.Response()
    return web.Response(status=status, body=body, content_type="application/json")


async def hook(request):
    body = await request.read()
    headers = [[name.lower(), value] for name, value in request.headers.items()]
    hooks.append({"headers": headers, "body": base64.b64encode(body).decode()})
    return web.Response()


async def fault(request):
    asked = await request.json()
    faults[asked["end"]] = asked["when"]
    return web.json_response({})


def interfaces(_):
    with open("/proc/net/dev") as table:
        names = [line.split(":")[0].strip() for line in table if ":" in line]
    return web.json_response(names)


async def main(python, socket):
    stripe = await asyncio.create_subprocess_exec(
        python, "-m", "localstripe", "--from-scratch", "--port", str(PORT),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with ClientSession() as session:
            incoming = web.Application()
            incoming.router.add_post("/", hook)
            runner = web.AppRunner(incoming)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", HOOKS).start()
            for _ in range(200):
                try:
                    target = {"url": f"http://127.0.0.1:{HOOKS}/", "secret": "whsec_localstripe"}
                    async with session.post(f"http://127.0.0.1:{PORT}/_config/webhooks/test", json=target) as answer:
                        assert answer.status == 200, answer.status
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            app = web.Application()
            app["session"] = session
            app.router.add_get("/_calls", lambda _: web.json_response(calls))
            app.router.add_get("/_hooks", lambda _: web.json_response(hooks))
            app.router.add_get("/_interfaces", interfaces)
            app.router.add_post("/_fault", fault)
            app.router.add_route("*", "/v1/{rest:.*}", forward)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.UnixSite(runner, socket).start()
            print(json.dumps({"ready": True}), flush=True)
            # Whoever started this holds the other end: when it is gone, so is this.
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, sys.stdin.buffer.read)
    finally:
        stripe.kill()
        await stripe.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.executable, sys.argv[1]))
