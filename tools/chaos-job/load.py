"""An open load: orders arrive whether or not the earlier ones are done.

A client keeps a record of every request and of every answer. Each order has an amount of its own, by which it is found in
the providers' books without trusting anything that the nodes say.
"""

import asyncio
import json
from random import Random

import web

FIRST_AMOUNT = 10_000
FINAL = ("Success", "Rejected", "TemporaryFailure", "FatalFailure", "NotImplemented")
PATHS = {
    "charge": ("POST", "charge"), "authorize": ("POST", "authorize"), "capture": ("PUT", "capture"),
    "void": ("DELETE", "void"), "refund": ("PUT", "refund"),
}


class Answer:
    def __init__(self, status, body):
        body = body if isinstance(body, dict) else {}
        self.status = status
        self.code = body.get("operationResultCode") or ""
        self.payment = body.get("transactionId") or ""
        self.provider_id = body.get("gatewayReference") or ""
        self.reason = body.get("reason") or ""
        self.attempts = body.get("attempts") or []

    @property
    def success(self):
        return self.code == "Success"

    @property
    def final(self):
        return self.code in FINAL

    def __repr__(self):
        return f"{self.status} {self.code}/{self.reason} {self.payment} {self.provider_id}"


class Request:
    def __init__(self, what, amount, body, key):
        self.what, self.amount, self.body, self.key = what, amount, body, key
        self.answers, self.lost, self.open = [], 0, False

    @property
    def last(self):
        """The latest answer, if it is one to the latest sending."""
        return self.answers[-1] if self.answers and not self.open else None

    @property
    def approved(self):
        return self.last is not None and self.last.success

    def __repr__(self):
        return f"{self.what} {self.amount} key={self.key} lost={self.lost} open={self.open} {self.answers}"


class Order:
    def __init__(self, amount):
        self.amount, self.requests = amount, []

    @property
    def reference(self):
        return f"order-{self.amount}"


class Shop:
    def __init__(self, nodes, key, seed, accounts):
        self.nodes, self.key, self.seed, self.accounts = nodes, key, seed, accounts
        self.orders, self.random, self.closing = [], Random(seed), False

    async def open(self, rate, seconds):
        loop = asyncio.get_running_loop()
        end, placed = loop.time() + seconds, set()
        while loop.time() < end and not self.closing:
            order = Order(FIRST_AMOUNT + len(self.orders))
            self.orders.append(order)
            placed.add(asyncio.create_task(self.place(order, Random(self.seed * 1_000_003 + order.amount))))
            await asyncio.sleep(min(self.random.expovariate(rate), max(0.0, end - loop.time())))
        self.closing = True
        for task in placed:
            await task

    async def send(self, request, random):
        method, path = PATHS[request.what]
        try:
            address = random.choice(self.nodes).address
            headers = [("x-api-key", self.key), ("idempotency-key", request.key)]
            answer = Answer(*await web.call(address, method, f"/PaymentGateway/{path}", request.body, headers))
        except web.Lost:
            request.lost += 1
            request.open = True
            return None
        request.answers.append(answer)
        request.open = False
        return answer

    async def place(self, order, random):
        # Some clients are not there any more to ask again; their orders are looked at in the end.
        gives_up = random.random() < 0.35
        for what, amount in plan(order.amount, random):
            body = self.body(order, what, amount, random)
            request = Request(what, amount, body, f"key-{order.amount}-{len(order.requests)}")
            order.requests.append(request)
            await self.carry_through(request, gives_up, random)
            if not request.approved:
                return

    async def carry_through(self, request, gives_up, random):
        """Sends a request, and again with the same key when nothing came back, or "try again"."""
        refused = 0
        while True:
            answer = await self.send(request, random)
            if answer is None:
                if gives_up or self.closing:
                    return
            elif answer.code == "TemporaryFailure" and refused < 2:
                refused += 1
            else:
                return
            await asyncio.sleep(0.2)

    def body(self, order, what, amount, random):
        if what in ("charge", "authorize"):
            first = random.randrange(len(self.accounts))
            accounts = (self.accounts[first:] + self.accounts[:first])[: random.randint(1, len(self.accounts))]
            card = "4242424242424242"
            if not any(name.startswith("stripe") for name in accounts):
                card = random.choices(("4000000000009110", "4000000000009995", card), (3, 3, 94))[0]
            holder = {
                "cardHolderName": "Ada Lovelace", "cardNumber": card, "expirationMonth": 12, "expirationYear": 2040,
                "cvv": "123",
            }
            named = {"myRef": order.reference, "card": holder, "paymentGatewayAccountNames": accounts}
        else:
            made = order.requests[0].last
            named = {"refTransId": made.provider_id if random.random() < 0.5 else made.payment}
        # An amount is written as a decimal, never through a float.
        rest = json.dumps(named)[1:]
        return f'{{"amount": {amount // 100}.{amount % 100:02}, "currency": "EUR", {rest}'

    async def status(self, order):
        address = self.nodes[order.amount % len(self.nodes)].address
        body = json.dumps({"myRef": order.reference})
        return Answer(*await web.call(address, "POST", "/PaymentGateway/status", body, [("x-api-key", self.key)]))

    async def ask_again(self):
        """What clients do in the end: they send what was not answered for good again, and also what was approved,
        which must not happen again."""
        gate = asyncio.Semaphore(12)

        async def one(order):
            async with gate:
                for request in order.requests:
                    await self.ask_to_the_end(request, Random(order.amount))

        await asyncio.gather(*(one(order) for order in self.orders))

    async def ask_to_the_end(self, request, random):
        last = request.last
        if last is not None and last.final and not last.success:
            return
        for _ in range(100):
            answer = await self.send(request, random)
            if answer is not None and answer.final:
                return
            await asyncio.sleep(0.3)


def plan(amount, random):
    roll = random.randrange(100)
    if roll < 45:
        steps = [("charge", amount)]
    elif roll < 60:
        return [("authorize", amount), ("void", amount)]
    elif roll < 85:
        steps = [("authorize", amount), ("capture", amount)]
    else:
        steps = [("authorize", amount), ("capture", amount // 2 + 1 + random.randrange(amount * 45 // 100))]
    if random.random() < 0.5:
        for _ in range(2 if random.random() < 0.3 else 1):
            steps.append(("refund", 1 + random.randrange(amount // 2 * 45 // 100)))
    return steps
