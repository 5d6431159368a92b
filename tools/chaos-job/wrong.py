"""Books and answers that are wrong on purpose: the comparison has to complain of each before it is believed."""

import books
from load import Answer, Order, Request


def request(what, amount, codes):
    made = Request(what, amount, "", "key")
    for code in codes:
        body = {"operationResultCode": code, "transactionId": "pay_1", "gatewayReference": "sp_1"}
        made.answers.append(Answer(200, body))
    return made


def row(captured=100, refunded=0, live=True, voided=False, amount=100, provider_id="sp_1", payment="pay_1"):
    made = books.Row("sandbox-a", provider_id, payment, amount)
    made.captured, made.refunded, made.live, made.voided = captured, refunded, live, voided
    return made


def order(*requests):
    made = Order(100)
    made.requests = list(requests)
    return made


def charge(*codes):
    return order(request("charge", 100, codes))


def open_again():
    made = charge("Success")
    made.requests[0].open = True
    return made


def refunded(*codes):
    return order(request("charge", 100, ["Success"]), request("refund", 30, codes))


def unseen():
    """The names of what the comparison does not see, or sees where nothing is wrong."""
    good = [
        ("charged", [charge("Success")], [row()]),
        ("declined", [charge("Rejected")], [row(captured=0, live=False)]),
        ("in doubt, then approved", [charge("Accepted", "Success")], [row()]),
        ("refunded", [refunded("Success")], [row(refunded=30)]),
        ("refunded at the second try", [refunded("TemporaryFailure", "Success")], [row(refunded=30)]),
        ("voided", [order(request("authorize", 100, ["Success"]), request("void", 100, ["Success"]))],
         [row(captured=0, live=False, voided=True)]),
    ]
    hold = row(captured=0, provider_id="sp_2")
    bad = [
        ("charged twice", [charge("Success")], [row(), row(provider_id="sp_2")]),
        ("a hold beside the charge", [charge("Success")], [row(), hold]),
        ("lost at the provider", [charge("Success")], []),
        ("taken and told declined", [charge("Rejected")], [row()]),
        ("taken and told to try again", [charge("TemporaryFailure")], [row()]),
        ("a hold of what was declined", [charge("Rejected")], [row(captured=0)]),
        ("never answered for good", [charge("Accepted")], [row()]),
        ("never answered at all", [charge()], []),
        ("no answer to the last sending", [open_again()], [row()]),
        ("success taken back", [charge("Success", "Rejected")], []),
        ("failure taken back", [charge("Rejected", "Success")], [row()]),
        ("a try again that was the charge itself", [charge("TemporaryFailure", "Success")], [row()]),
        ("a refund taken back", [refunded("Success", "TemporaryFailure")], [row()]),
        ("a declined refund that happened", [refunded("Rejected", "Success")], [row(refunded=30)]),
        ("voided behind our back", [charge("Success")], [row(captured=0, live=False, voided=True)]),
        ("another sum", [charge("Success")], [row(captured=99)]),
        ("another payment's", [charge("Success")], [row(payment="pay_2")]),
        ("under another id", [charge("Success")], [row(provider_id="sp_9")]),
        ("a refund of ours alone", [refunded("Success")], [row()]),
        ("a refund of theirs alone", [refunded("Rejected")], [row(refunded=30)]),
        ("a refund that happened twice", [refunded("Success")], [row(refunded=60)]),
        ("nobody ordered it", [], [row()]),
    ]
    wrong = [name for name, orders, rows in good if books.compare(orders, rows)]
    return wrong + [name for name, orders, rows in bad if not books.compare(orders, rows)]
