"""What the clients were told against the books of the providers."""

from collections import Counter, defaultdict


class Row:
    """A payment in a provider's books."""

    def __init__(self, account, provider_id, payment, amount):
        self.account, self.id, self.payment, self.amount = account, provider_id, payment, amount
        self.live = self.voided = self.pending = False
        self.captured = self.refunded = 0

    def __repr__(self):
        state = "live" if self.live else "voided" if self.voided else "pending" if self.pending else "nothing"
        return (f"{self.account} {self.id} of {self.payment or '?'}: {state}, {self.amount}, captured {self.captured}, "
                f"refunded {self.refunded}")


def of_sandbox(rows):
    for one in rows:
        row = Row(one["account"], one["id"], (one.get("metadata") or {}).get("payment", ""), one["amount"])
        row.voided = one["voided"]
        row.live = one["status"] in ("authorized", "captured") and not row.voided
        row.pending = one["status"] == "pending" and not row.voided
        row.captured, row.refunded = one["captured"], one["refunded"]
        yield row


def of_stripe(rows):
    for one in rows:
        row = Row("stripe", one["id"], (one.get("metadata") or {}).get("payment", ""), one["amount"])
        row.live = one["status"] in ("succeeded", "requires_capture")
        row.voided = one["status"] == "canceled"
        row.pending = one["status"] == "processing"
        if one["status"] == "succeeded":
            # localstripe books what a capture leaves as refunded: only what is kept can be compared.
            row.captured = one["amount"]
            row.refunded = (one.get("latest_charge") or {}).get("amount_refunded", 0)
        yield row


class Ours:
    """An order by the answers that its client has."""

    def __init__(self, order):
        self.approved = self.voided = False
        self.captured = self.refunded = 0
        for request in order.requests:
            if not request.approved:
                continue
            if request.what in ("charge", "authorize"):
                self.approved = True
            if request.what in ("charge", "capture"):
                self.captured += request.amount
            elif request.what == "void":
                self.voided = True
            elif request.what == "refund":
                self.refunded += request.amount

    @property
    def kept(self):
        return self.captured - self.refunded

    def __repr__(self):
        return f"approved {self.approved}, voided {self.voided}, captured {self.captured}, refunded {self.refunded}"


def by_amount(rows):
    found = defaultdict(list)
    for row in rows:
        found[row.amount].append(row)
    return found


async def lost(shop, rows):
    """Orders that a provider has money of and that we do not know, before anybody asks again."""
    found, complaints = by_amount(rows), []
    for order in shop.orders:
        told, theirs = await shop.status(order), found[order.amount]
        live = [row for row in theirs if row.live]
        # A void changes the status of the hold, not whether it was approved.
        if live and not told.success:
            complaints.append(f"{order.reference}: a provider has it, and we say {told}: {live}")
        if told.success and not live and not any(row.voided for row in theirs):
            complaints.append(f"{order.reference}: approved, and in nobody's books: {told}")
    return complaints


def compare(orders, rows):
    """Everything that does not agree."""
    found = by_amount(rows)
    known = {order.amount for order in orders}
    complaints = [f"a payment that nobody ordered: {row}" for row in rows if row.amount not in known]
    for order in orders:
        wrong = [*compare_answers(order), *compare_books(order, found[order.amount])]
        told = "".join(f"\n      {request}" for request in order.requests)
        complaints += [f"{order.reference}: {what}{told}" for what in wrong]
    ours = sum(Ours(order).kept for order in orders)
    theirs = sum(row.captured - row.refunded for row in rows)
    if ours != theirs:
        complaints.append(f"we say that {ours} was kept, the books say {theirs}")
    return complaints


def compare_answers(order):
    """No request is without a last word, and no last word was taken back."""
    for request in order.requests:
        if request.last is None or not request.last.final:
            yield f"{request.what} has no final answer"
        words = {}
        # Nothing was attempted, and the key is free again (docs/gateway-api.md): for a charge the next sending is another
        # payment, for a change of one it is another try under the same payment's id.
        change = request.what in ("capture", "void", "refund")
        for answer in request.answers:
            if change and answer.code == "TemporaryFailure" and not words.get(answer.payment):
                continue
            if answer.final and words.setdefault(answer.payment, answer.success) != answer.success:
                yield f"{request.what} was told otherwise before"
        approved = {(answer.payment, answer.provider_id) for answer in request.answers if answer.success}
        if len(approved) > 1:
            yield f"{request.what} was approved as {sorted(approved)}"
        if approved and not request.approved:
            yield f"{request.what} was told approved, and is not"


def compare_books(order, rows):
    ours = Ours(order)
    live = [row for row in rows if row.live]
    if any(row.pending for row in rows):
        yield "still pending at the provider"
    wanted = ours.approved and not ours.voided
    if len(live) > 1:
        yield f"charged or held {len(live)} times: {live}"
    elif wanted and not live:
        yield "approved, and in nobody's books"
    elif live and not wanted:
        yield f"not approved, but in the books: {live[0]}"
    elif live:
        row, told = live[0], order.requests[0].last
        if row.captured - row.refunded != ours.kept and not (row.captured == 0 and ours.kept == 0):
            yield f"we say {ours}, the books {row}"
        if (row.id, row.payment) != (told.provider_id, told.payment.removeprefix("pay_")) and (
            row.id, row.payment) != (told.provider_id, told.payment):
            yield f"the books call it otherwise: {row}"


def side_by_side(orders, rows):
    """The two books as a table."""
    ours, theirs = Counter(), Counter()
    accounts = {row.id: row.account for row in rows}
    for order in orders:
        one = Ours(order)
        if one.approved:
            account = accounts.get(order.requests[0].last.provider_id, "nowhere")
            ours[account, "payments"] += not one.voided
            ours[account, "voided"] += one.voided
            ours[account, "kept"] += one.kept
    for row in rows:
        theirs[row.account, "payments"] += row.live
        theirs[row.account, "kept"] += row.captured - row.refunded
    lines = [f"{'account':<12}{'':>10}{'ours':>14}{'theirs':>14}"]
    for account in sorted({key[0] for key in ours} | {key[0] for key in theirs}):
        for what in ("payments", "kept"):
            pair = ours[account, what], theirs[account, what]
            same = "" if pair[0] == pair[1] else "   DIFFERENT"
            lines.append(f"{account:<12}{what:>10}{pair[0]:>14,}{pair[1]:>14,}{same}")
    return lines


def told(orders):
    """What a run was like."""
    figures, ends = Counter(), Counter()
    for order in orders:
        for request in order.requests:
            figures["requests"] += 1
            figures["approved"] += request.approved
            figures["lost"] += request.lost
            figures["failed_over"] += any(len(answer.attempts) > 1 for answer in request.answers)
            if any(answer.code == "Accepted" for answer in request.answers):
                figures["in_doubt"] += 1
                ends[request.last.code if request.last else "no answer"] += 1
    figures["payments"] = len(orders)
    return figures, ends
