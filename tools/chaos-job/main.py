"""The chaos job: real nodes on a real database, real sockets, real signals. See docs/chaos.md, and `tools/chaos --help`."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from random import Random

import books
import database
import eio
import world
import wrong
from load import Shop
from proxy import Proxy
from world import Clock, Localstripe, Node, Place, Sandbox

FAULTS = {
    "cut": "the proxy cuts connections before or after the request has passed, also all at once",
    "half": "the proxy passes half of an answer, and cuts",
    "late": "the proxy delays requests or answers by up to 4 s",
    "drop": "the proxy swallows requests, also all for 3 s",
    "refuse": "nobody listens at a provider for 3 s",
    "provider": "the sandbox fails, refuses, hangs, executes late",
    "kill": "SIGKILL of a node",
    "stop": "SIGSTOP of a node for 1 to 14 s, then SIGCONT",
    "restart": "PostgreSQL is shut down immediately, and started",
    "leader": "Patroni's leader is killed; synchronous replication",
    "eio": "a node on SQLite whose fsync fails",
    "localstripe": "localstripe as a second provider",
}
EVENTS = ("cut", "late", "drop", "refuse", "kill", "stop", "restart", "leader")
# How long it may take until nothing is in doubt any more, and how long the nodes are left to themselves with that. Then clients
# read, which makes a node look again at once.
SETTLE, ALONE = 240.0, 15.0


class Run:
    def __init__(self, options, place):
        self.options, self.place, self.clock = options, place, Clock()
        self.random = Random(options.seed)
        self.skipped, self.counts, self.complaints = [], Counter(), []
        self.nodes, self.proxies, self.ending, self.database_busy = [], [], False, False
        self.database = self.sandbox = self.stripe = self.shop = None

    def skip(self, what, why):
        self.skipped.append(what)
        world.log(f"SKIPPED 1: {what}: {why}")

    async def build(self):
        faults = self.options.faults
        self.database, missing = database.made(self.place, "leader" in faults)
        if self.database is None:
            world.fail(missing)
        if missing:
            self.skip("leader", missing)
            faults.discard("leader")
        await self.database.start()
        self.clock.say("up", self.database.name)
        self.sandbox = Sandbox(self.place, keeps_keys=self.options.replay)
        await self.sandbox.start()
        if "provider" in faults:
            await self.sandbox.disturb(self.options.seed)
        await self.proxy("sandbox", lambda: asyncio.open_connection(*self.sandbox.address))
        base = f"http://127.0.0.1:{self.proxies[0].port}/sandbox"
        accounts = [(f"sandbox-{one}", "Sandbox", f"{base}/{one}", '{ ApiKey = "any" }') for one in "ab"]
        if "localstripe" in faults:
            self.stripe = Localstripe(self.place.folder)
            if why := await self.stripe.start():
                self.skip("localstripe", why)
                self.stripe = None
            else:
                await self.proxy("localstripe", self.stripe.connect)
                url = f"http://127.0.0.1:{self.proxies[1].port}"
                accounts.append(("stripe", "Stripe", url, '{ SecretKey = "sk_test_12345" }'))
        config = self.place.folder / "nodes.toml"
        # What is sent again under its key is done again where no keys are kept.
        again = f"[payments]\nreplay = {str(self.options.replay).lower()}\n\n"
        config.write_text(again + "".join(
            f'[[accounts]]\nname = "{name}"\ngateway = "{gateway}"\nbase_url = "{url}"\ntest = true\n'
            f"credentials = {credentials}\n\n" for name, gateway, url, credentials in accounts
        ))
        self.place.json(["migrate", "--json"], DATABASE_URL=self.database.url)
        made = self.place.json(["keys", "create", "--sandbox", "--json"], DATABASE_URL=self.database.url)
        self.nodes = [Node(no, self.place, self.database.url, config) for no in range(self.options.nodes)]
        for node in self.nodes:
            await node.start()
        self.shop = Shop(self.nodes, made["api_key"], self.options.seed, [one[0] for one in accounts])
        self.clock.say("up", f"{len(self.nodes)} nodes; accounts {', '.join(self.shop.accounts)}")

    async def proxy(self, name, connect):
        proxy = Proxy(name, connect, Random(self.random.random()), self.options.faults)
        await proxy.start()
        self.proxies.append(proxy)

    async def start_again(self, node):
        """The database may be away as well."""
        for _ in range(90):
            try:
                return await node.start()
            except RuntimeError as error:
                last = error
                await asyncio.sleep(1)
        raise last

    async def supervise(self):
        while not self.ending:
            for node in self.nodes:
                if node.ended and not node.busy:
                    node.busy = True
                    status = node.child.returncode
                    self.clock.say("node", f"{node.name} ended by itself with {status}")
                    self.complaints.append(f"{node.name} ended by itself with {status}")
                    await self.start_again(node)
                    node.busy = False
            await asyncio.sleep(0.2)

    async def progress(self, every):
        while not self.ending:
            await asyncio.sleep(every)
            figures, ends = books.told(self.shop.orders)
            self.clock.say("", f"{figures['payments']} payments, {figures['requests']} requests, {figures['approved']} "
                           f"approved, {figures['lost']} cut off, {figures['in_doubt']} told \"in doubt\"")

    async def disturb(self, seconds):
        """One event after the other; every kind comes once before any comes again."""
        end, bag, running = time.monotonic() + seconds, [], set()
        kinds = [kind for kind in EVENTS if kind in self.options.faults]
        while kinds:
            await asyncio.sleep(self.random.uniform(*self.options.gap))
            if time.monotonic() > end - 1:
                break
            if not bag:
                bag = self.random.sample(kinds, len(kinds))
            task = asyncio.create_task(self.event(bag.pop()))
            running.add(task)
        for task in running:
            await task

    async def event(self, kind):
        pick = self.random.choice
        if kind in ("restart", "leader"):
            if self.database_busy:
                return
            self.database_busy = True
            self.counts[kind] += 1
            self.clock.say(kind, "begins")
            did = await (self.database.restart() if kind == "restart" else self.database.kill_leader())
            self.database_busy = False
            self.clock.say(kind, did)
        elif kind in ("kill", "stop"):
            free = [node for node in self.nodes if not node.busy]
            if not free:
                return
            node, rest = pick(free), self.random.uniform(0.2, 3) if kind == "kill" else self.random.uniform(1, 14)
            node.busy = True
            self.counts[kind] += 1
            self.clock.say(kind, f"{node.name}, for {rest:.1f} s")
            if kind == "kill":
                node.kill()
                await asyncio.sleep(rest)
                await self.start_again(node)
            else:
                node.signal(signal.SIGSTOP)
                await asyncio.sleep(rest)
                node.signal(signal.SIGCONT)
            node.busy = False
        else:
            proxy = pick(self.proxies)
            if proxy.mode:
                return
            self.counts[kind] += 1
            if kind == "cut":
                self.clock.say(kind, f"{proxy.name}: {proxy.cut_all()} connections")
            elif kind == "refuse":
                self.clock.say(kind, f"{proxy.name}, for 3 s")
                await proxy.refuse(3)
            else:
                mode = self.random.choice(("late_request", "late_answer")) if kind == "late" else "drop"
                self.clock.say(kind, f"{proxy.name}: everything ({mode}), for 3 s")
                proxy.mode = mode
                await asyncio.sleep(3)
                proxy.mode = None

    async def calm(self):
        for proxy in self.proxies:
            proxy.calm = True
            for name, count in proxy.counts.items():
                self.counts[f"{proxy.name} {name}"] += count
        await self.sandbox.admin("DELETE", "/rules")

    async def settle(self):
        """Waits until no call is running or in doubt."""
        begun = time.monotonic()
        while True:
            found = await asyncio.to_thread(self.place.json, ["doctor", "--json"], DATABASE_URL=self.database.url)
            detail = next(one["detail"] for one in found["findings"] if one["check"] == "contents")
            waited = time.monotonic() - begun
            if " 0 calls running or in doubt" in detail:
                self.clock.say("settled", f"after {waited:.1f} s: {detail}")
                return
            if waited > SETTLE:
                self.complaints.append(f"still in doubt after {SETTLE:.0f} s: {detail}")
                return
            if waited > ALONE:
                for order in self.shop.orders:
                    await self.shop.status(order)
            await asyncio.sleep(1)

    async def rows(self):
        rows = list(books.of_sandbox(await self.sandbox.books()))
        for row in rows:
            row.account = f"sandbox-{row.account}"
        if self.stripe:
            rows += books.of_stripe(await self.stripe.books())
        return rows

    async def verdict(self):
        await self.settle()
        self.complaints += await books.lost(self.shop, await self.rows())
        self.clock.say("asking", "what was not answered for good is sent again, and what was approved too")
        await self.shop.ask_again()
        await self.settle()
        rows = await self.rows()
        self.complaints += books.compare(self.shop.orders, rows)
        summary = await self.sandbox.admin("GET", "/books/summary")
        for name in ("double_charged_references", "captured_more_than_once", "live_more_than_once"):
            if summary[name] != 0:
                self.complaints.append(f"the sandbox counts {name}: {summary[name]}")
        if any(row["times_executed"] != 1 for row in await self.sandbox.books()):
            self.complaints.append("the sandbox executed a request more than once")
        if self.stripe:
            confirmed = Counter(one["path"] for one in await self.stripe.get("/_calls") if one["path"].endswith("/confirm"))
            self.complaints += [f"sent twice to localstripe: {path}" for path, times in confirmed.items() if times > 1]
        return rows

    async def go(self):
        await self.build()
        seconds = self.options.minutes * 60
        watching = [asyncio.create_task(self.supervise()), asyncio.create_task(self.progress(min(10, seconds / 4)))]
        try:
            opened = asyncio.create_task(self.shop.open(self.options.rate, seconds))
            await self.disturb(seconds)
            await self.calm()
            await opened
            self.clock.say("calm", "no faults any more")
            rows = await self.verdict()
        finally:
            self.ending = True
            for task in watching:
                task.cancel()
        return rows

    async def end(self):
        for one in [*self.nodes, self.sandbox, self.stripe]:
            if one is not None:
                one.kill()
        if self.database is not None:
            await self.database.end()


def report(run, rows, also):
    figures, ends = books.told(run.shop.orders) if run.shop else (Counter(), Counter())
    world.log("\nfaults: " + (", ".join(f"{name} {count}" for name, count in sorted(run.counts.items())) or "none"))
    if rows is not None:
        world.log(f"payments: {figures['payments']}, requests {figures['requests']}, approved {figures['approved']}, cut off "
                  f"{figures['lost']}, failed over {figures['failed_over']}")
        ended = ", ".join(f"{name} {count}" for name, count in ends.most_common())
        world.log(f"told \"in doubt\": {figures['in_doubt']}; how they ended: {ended or '-'}\n")
        world.log("\n".join(books.side_by_side(run.shop.orders, rows)))
    if also:
        world.log(f"fsync that fails: {also}")
    world.log("skipped: " + (", ".join(run.skipped) or "none"))
    if run.complaints:
        world.log(f"\n{len(run.complaints)} WRONG, seed {run.options.seed}:")
        for complaint in run.complaints[:40]:
            world.log(f"  - {complaint}")
    else:
        world.log(f"\nthe books agree, seed {run.options.seed}")


def parse():
    text = "\n".join(f"  {name:<12} {what}" for name, what in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="tools/chaos", description="Nodes, a database and providers that fail, and the books compared at the end.",
        epilog=f"faults, all on by default:\n{text}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="how long the load lasts (default 3, at most 60)")
    parser.add_argument("--short", action="store_true", help="20 s of load without leader and localstripe, more faults per second")
    parser.add_argument("--seed", type=int, help="repeats a run's choices, not its timing")
    parser.add_argument("--rate", type=float, default=8, help="payments per second (default 8)")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--replay", action="store_true", help="the nodes send again under the same key, as they do by default, and the "
                        "sandbox keeps keys; without localstripe, which keeps none")
    parser.add_argument("--only", metavar="A,B", help="these faults and no others")
    parser.add_argument("--without", metavar="A,B", default="", help="all but these")
    parser.add_argument("--binary", default=str(world.ROOT / "target/debug/baton"), help="the command under test")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    options = parser.parse_args()
    names = set(options.only.split(",")) if options.only else set(FAULTS)
    without = set(filter(None, options.without.split(",")))
    if unknown := (names | without) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    options.gap = (3.0, 7.0)
    if options.short:
        options.minutes, options.gap = 1 / 3, (1.0, 2.0)
        # An absent capture or refund at Stripe is in doubt for two minutes.
        without |= {"leader", "localstripe"}
    if options.replay:
        without.add("localstripe")
    if not (0 < options.minutes <= 60 and 0 < options.rate <= 200 and 1 <= options.nodes <= 8):
        parser.error("minutes up to 60, rate up to 200, 1 to 8 nodes")
    options.faults = names - without
    options.seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    return options


async def main(options, folder):
    place = Place(folder, os.path.abspath(options.binary))
    run = Run(options, place)
    me = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel)
    world.log(f"seed {options.seed}, {options.minutes * 60:.0f} s of load at {options.rate:g}/s, {options.nodes} nodes, faults "
              + ", ".join(sorted(options.faults)))
    for name in FAULTS:
        if name not in options.faults:
            world.log(f"off: {name}")
    if unseen := wrong.unseen():
        world.fail(f"the comparison is not to be trusted: {', '.join(unseen)}")
    rows, also = None, None
    try:
        if options.faults - {"eio"}:
            # Whatever happens, it ends: the load, two settlements, and what is around them.
            rows = await asyncio.wait_for(run.go(), options.minutes * 60 + 2 * SETTLE + 400)
        await run.end()
        if "eio" in options.faults:
            if why := eio.why_not(place):
                run.skip("eio", why)
            else:
                complaints, also = await asyncio.wait_for(eio.run(place, options.seed, run.clock), 180)
                run.complaints += complaints
    except (RuntimeError, TimeoutError, asyncio.TimeoutError) as error:
        run.complaints.append(f"the job itself: {type(error).__name__} {error}")
    finally:
        await run.end()
    report(run, rows, also)
    return 1 if run.complaints else 0


if __name__ == "__main__":
    chosen = parse()
    made = tempfile.mkdtemp(prefix="chaos.")
    os.chmod(made, 0o711)
    status = 2
    try:
        status = asyncio.run(main(chosen, made))
    except asyncio.CancelledError:
        print("tools/chaos: cancelled", file=sys.stderr)
    finally:
        if chosen.keep:
            print(f"kept: {made}")
        else:
            shutil.rmtree(made, ignore_errors=True)
    sys.exit(status)
