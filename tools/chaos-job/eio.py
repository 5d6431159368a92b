"""A node on SQLite whose disk begins to fail: every fsync ends with EIO from some moment on.

The process must end by itself, by abort, and nobody may have been told of a payment whose commit was not on the disk. The
system calls are traced, so that "on the disk" is a sync of the log that succeeded, between the commit and the answer.
"""

import asyncio
import os
import re
import signal
import shutil
import subprocess
from random import Random

import books
from load import Shop
from world import Node, Process, Sandbox

CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed")
LAST_FRAME = 24


def why_not(place):
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "processes cannot be traced here"


def unescaped(text):
    """The strings in quotes, one after the other, as bytes."""
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    return "".join(quoted).encode().decode("unicode_escape").encode("latin-1", "replace")


def read(lines):
    """The calls that matter, with the lines at which they began and ended."""
    calls, running = [], {}
    for at, line in enumerate(lines):
        if resumed := RESUMED.match(line):
            call = running.pop(resumed[1], None)
            if call is not None:
                call["ended"], call["good"] = at, "= -1" not in line
            continue
        if begun := CALL.match(line):
            call = {"name": begun[2], "text": begun[3], "begun": at, "ended": at, "good": "= -1" not in line}
            if line.endswith("<unfinished ...>"):
                running[begun[1]], call["ended"] = call, None
            calls.append(call)
    return calls


def is_commit(call):
    """The last frame's header of a transaction alone names the size of the database (SQLite's file format, 4.1)."""
    if call["name"] != "pwrite64" or "-wal>" not in call["text"]:
        return False
    data = unescaped(call["text"].split(">, ", 1)[1])
    return len(data) == LAST_FRAME and data[4:8] != bytes(4)


def unrecorded(lines, told):
    """Payments whose answer left before a sync of their commit had succeeded."""
    calls = read(lines)
    wal = [call for call in calls if "-wal>" in call["text"].split(",", 1)[0] or "-wal>" in call["text"]]
    writes = [call for call in wal if call["name"] == "pwrite64"]
    syncs = [call for call in wal if call["name"] in ("fsync", "fdatasync") and call["good"] and call["ended"] is not None]
    commits = [call for call in writes if is_commit(call)]
    answers = [call for call in calls if call["name"] in ("write", "writev", "sendto", "sendmsg") and "<TCP:" in call["text"]]
    wrong = []
    for payment, provider_id in told:
        name = f'transactionId\\":\\"{payment}'
        answer = next((call for call in answers if name in call["text"]), None)
        write = next((call for call in writes if provider_id in call["text"]), None)
        if answer is None or write is None:
            wrong.append(f"{payment}: the trace has {'no answer' if answer is None else 'no record'} of it")
            continue
        commit = next((call for call in commits if call["begun"] > write["begun"]), None)
        sync = commit and next((call for call in syncs if call["begun"] > commit["begun"]), None)
        if sync is None or sync["ended"] > answer["begun"]:
            wrong.append(f"{payment}: told before its commit was on the disk")
    return wrong


def end(traced):
    """To end the tracer would only let the node go."""
    if traced.child is None or traced.ended:
        return
    with open(f"/proc/{traced.child.pid}/task/{traced.child.pid}/children", encoding="ascii") as named:
        for child in named.read().split():
            os.kill(int(child), signal.SIGKILL)
    traced.child.wait()


async def run(place, seed, clock):
    """The complaints, and a line of figures."""
    random = Random(seed)
    sandbox = Sandbox(place, "sandbox-eio")
    await sandbox.start()
    config = place.folder / "eio.toml"
    config.write_text(
        f'[[accounts]]\nname = "sandbox-a"\ngateway = "Sandbox"\nbase_url = "{sandbox.url}/sandbox/a"\n'
        'test = true\ncredentials = { ApiKey = "any" }\n'
    )
    plain = Node("eio", place, None, config)
    key = place.json(["keys", "create", "--sandbox", "--json"], BATON_DATA_DIR=str(place.folder / "node-eio"))["api_key"]
    first = random.randrange(150, 300)
    trace = place.folder / "eio.trace"
    traced = Process("eio", ["strace", "-f", "-yy", "-s", "65536", "-o", str(trace), "-e",
                             "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg", "-e",
                             f"inject=fsync,fdatasync:error=EIO:when={first}+", *plain.command],
                     plain.environment, place.folder)
    complaints = []
    shop = Shop([traced], key, seed, ["sandbox-a"])
    try:
        await traced.start()
        load = asyncio.create_task(shop.open(15, 12))
        for _ in range(150):
            await asyncio.sleep(0.1)
            if traced.ended:
                break
        shop.closing = True
        if traced.ended:
            status = traced.child.returncode
            clock.say("eio", f"fsync {first} and all later ones failed; the node ended with {status}")
            if status not in (-signal.SIGABRT, 128 + signal.SIGABRT):
                complaints.append(f"a failed fsync: the node ended with {status}, not by abort")
        else:
            complaints.append("fsync fails, and the node goes on")
            end(traced)
        # What is told from here on comes from the database as it was left.
        told = [(a.payment, a.provider_id) for order in shop.orders for r in order.requests for a in r.answers if a.success]
        # A change is told with its payment's id: the first answer of each is what can be found by it.
        first_told = {r.last.payment: r.last.provider_id for o in shop.orders for r in o.requests[:1]
                      for _ in [0] if r.approved}
        lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
        injected = sum("(INJECTED)" in line for line in lines)
        complaints += unrecorded(lines, first_told.items())
        # The same trace without its syncs: the check must see it.
        blind = [line for line in lines if "sync" not in line]
        if len(unrecorded(blind, first_told.items())) != len(first_told) or not first_told or not injected:
            complaints.append(f"nothing was shown: {len(first_told)} told, {injected} syncs failed")
        await plain.start()
        shop.nodes = [plain]
        await load
        await shop.ask_again()
        rows = list(books.of_sandbox(await sandbox.books()))
        complaints += books.compare(shop.orders, rows)
        figures = (f"{len(shop.orders)} payments, {len(told)} approvals told before the end, {injected} syncs failed, "
                   f"{len(rows)} in the books")
        return complaints, figures
    finally:
        end(traced)
        plain.kill()
        sandbox.kill()
