"""Gives valid requests a chance: random account names and card numbers are refused before anything happens.

Only cases that are meant to be valid are touched; what is put in depends on the case alone, so that a run with
the same seed does the same.
"""

import atexit
import collections
import json
import os
import zlib

import schemathesis

# Accounts of `baton serve --dev` that do not simulate failure.
ACCOUNTS = ["sandbox", "sandbox-b", "sandbox-c", "test-success"]
CARDS = ["4111111111111111", "5555555555554444", "4000000000000002", "4000000000009995"]
MADE = []


@schemathesis.hook
def map_case(context, case):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    chance = zlib.crc32(repr((case.body, case.query, case.headers)).encode())

    def pick(values, by=1):
        return values[chance // by % len(values)]

    if chance % 8 == 0:
        return case
    if case.headers and chance % 4:
        case.headers.pop("Idempotency-Key", None)
    if isinstance(case.query, dict) and "account" in case.query:
        case.query["account"] = pick(ACCOUNTS)
    if not isinstance(case.body, dict) or not case.operation.path.startswith("/PaymentGateway/"):
        return case
    body = dict(case.body)
    if chance % 3:
        for name in ["payerDetails", "userToken", "networkTokenBrand", "cardToken", "paymentGatewayAccount", "certificateName"]:
            body.pop(name, None)
    if isinstance(body.get("card"), dict):
        body["card"] = {**body["card"], "cardNumber": pick(CARDS), "expirationMonth": 12, "expirationYear": 2040, "cvv": "123"}
        if chance % 3:
            body["card"].pop("threeDSAuthentication", None)
            body["card"]["cardHolderName"] = "Ada Lovelace"
    if "amount" in body:
        body.update(amount=(chance % 100_000 + 1) / 100, currency=pick(["USD", "EUR", "GBP"]))
    if case.operation.path.endswith(("charge", "authorize", "tokenize")):
        body.pop("fallbackUpgs", None)
        body.pop("paymentGatewayAccountName", None)
        body["paymentGatewayAccountNames"] = [pick(ACCOUNTS, 8)]
    elif MADE:
        body.pop("paymentGatewayAccountName", None)
        body.pop("card", None)
        body["refTransId"], amount, currency = pick(MADE, 8)
        if "amount" in body:
            body.update(amount=amount, currency=currency)
    case.body = body
    return case


@schemathesis.hook("after_call")
def remember(context, case, response):
    if response.status_code == 202 and len(MADE) < 2000:
        made = response.json()
        if made.get("gatewayReference"):
            MADE.append((made["gatewayReference"], made["amount"], made["currency"]))


COUNTS = collections.Counter()


@schemathesis.hook("after_call")
def count(context, case, response):
    COUNTS[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def tell():
    """Which status each operation answered how often, for whoever started the run."""
    if COUNTS and "FUZZ_COUNTS" in os.environ:
        with open(os.environ["FUZZ_COUNTS"], "w", encoding="utf-8") as file:
            json.dump(COUNTS, file)
