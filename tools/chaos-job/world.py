"""The processes of a run: nodes, the sandbox, localstripe. Each listens on loopback only, in a folder that is deleted, and
is killed when the run ends, however it ends."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import web

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0


def die_with_parent():
    # PR_SET_PDEATHSIG: what is started here does not outlive a run that is killed.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Place:
    def __init__(self, folder, binary):
        self.folder, self.binary = Path(folder), binary
        self.environment = {
            "PATH": os.environ["PATH"],
            "BATON_PAYMENTS__SEND_WINDOW_MS": "1000",
            "BATON_PAYMENTS__CALLER_WAIT_MS": "2500",
            "BATON_PAYMENTS__REPEAT_WAIT_MS": "1500",
            "BATON_WIRE__ANSWER_TIMEOUT_MS": "1500",
            # The load is as much as comes through; a limit would make refusals of most of it.
            "BATON_LIMITS__REQUESTS_PER_SECOND": "0",
            # Open breakers would keep the load away from the provider.
            "BATON_WIRE__BREAKER_FAILURES": "50",
            "BATON_LOG__LEVEL": "warn",
            "BATON_VAULT__ROOT_KEY_FILE": str(self.folder / "root.key"),
        }

    def of(self, data, **more):
        named = {**self.environment, "BATON_DATA_DIR": str(self.folder / data)}
        named.update({name: value for name, value in more.items() if value is not None})
        return named

    def json(self, arguments, **more):
        """Runs a command that must succeed, and reads its JSON."""
        done = subprocess.run(
            [self.binary, *arguments], cwd=self.folder, env=self.of("tools", **more), capture_output=True, timeout=60,
            text=True, check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)


class Process:
    """A process that says in one line of JSON where it listens."""

    def __init__(self, name, command, environment, folder):
        self.name, self.command, self.environment, self.folder = name, command, environment, Path(folder)
        self.child, self.address, self.url = None, ("127.0.0.1", 9), ""

    async def start(self):
        log = open(self.folder / f"{self.name}.log", "ab")
        self.child = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=log, preexec_fn=die_with_parent,
        )
        log.close()
        reading = asyncio.to_thread(self.child.stdout.readline)
        try:
            line = await asyncio.wait_for(reading, PATIENCE)
            self.url = json.loads(line)["url"]
        except (asyncio.TimeoutError, ValueError) as error:
            self.kill()
            tail = (self.folder / f"{self.name}.log").read_text()[-600:]
            raise RuntimeError(f"{self.name} does not start: {tail}") from error
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        self.address = (host, int(port))

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, number)

    def kill(self):
        if self.child is not None and self.child.poll() is None:
            self.signal(signal.SIGCONT)
            self.child.kill()
            self.child.wait()

    @property
    def ended(self):
        return self.child is not None and self.child.poll() is not None


class Node(Process):
    """A server that is started again, whoever ended it."""

    def __init__(self, no, place, database, config):
        environment = place.of(f"node-{no}", DATABASE_URL=database)
        command = [place.binary, "serve", "--json", "--listen", "127.0.0.1:0", "--config", str(config)]
        super().__init__(f"node-{no}", command, environment, place.folder)
        self.stopped = False
        self.busy = False


class Sandbox(Process):
    def __init__(self, place, name="sandbox", keeps_keys=False):
        books = str(place.folder / f"{name}.ndjson")
        command = [place.binary, "sandbox", "--json", "--listen", "127.0.0.1:0", "--books", books, "--sync", "relaxed"]
        command += [] if keeps_keys else ["--no-dedup"]
        super().__init__(name, command, place.of("sandbox"), place.folder)

    async def admin(self, method, path, body=None):
        text = None if body is None else json.dumps(body)
        status, answer = await web.call(self.address, method, f"/admin{path}", text)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    async def books(self):
        rows, cursor = [], ""
        while True:
            page = await self.admin("GET", f"/books?limit=1000{cursor}")
            rows += page["data"]
            if not page.get("next_cursor"):
                return rows
            cursor = f"&cursor={page['next_cursor']}"

    async def disturb(self, seed):
        """A provider at its worst, for a few requests in a hundred each."""

        def fault(commit, answer):
            return {"fault": {"commit": commit, "answer": answer}}

        def status(number):
            return {"status": {"status": number}}

        faults = [
            (fault("first", "close"), 20), (fault("never", "close"), 15), (fault("first", status(503)), 15),
            (fault("never", status(500)), 15), (fault({"late": {"after_ms": 400}}, "close"), 20),
            (fault("first", "garbage"), 10), (fault("first", "hang"), 10), ({"latency_ms": 40}, 300),
        ]
        rules = [(one, *rule) for one in ("sale", "authorize", "capture", "refund", "void") for rule in faults]
        for one in ("sale", "authorize"):
            rules.append((one, {"refuse": {"status": 429, "code": "rate_limited"}}, 60))
            rules.append((one, {"verdict": {"decline": "merchant_account_disabled"}}, 40))
        rules.append(("lookup", fault("never", status(503)), 50))
        for operation, action, permille in rules:
            rule = {"match": {"operation": operation}, "action": action, "probability_permille": permille}
            await self.admin("POST", "/rules", rule)
        await self.admin("PUT", "/settings", {"seed": seed})


class Localstripe:
    """localstripe binds all interfaces, so it runs in a network namespace of its own with nothing but a loopback, and is
    reached through a Unix socket."""

    def __init__(self, folder):
        self.socket, self.child = str(Path(folder) / "localstripe.sock"), None

    async def start(self):
        """Why it cannot be had here; nothing, if it runs."""
        installed = subprocess.run([ROOT / "tools/counterparts", "python"], capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            return installed.stderr.strip()
        alone = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
            return "no network namespace can be made here"
        python = Path(installed.stdout.strip()) / "bin/python"
        shim = ROOT / "tools/localstripe-shim.py"
        inside = f"ip link set lo up && exec '{python}' '{shim}' '{self.socket}'"
        # The shim ends when its standard input does.
        self.child = subprocess.Popen(
            [*alone, "sh", "-c", inside], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent
        )
        line = await asyncio.wait_for(asyncio.to_thread(self.child.stdout.readline), PATIENCE)
        return None if b"ready" in line else f"it does not start: {line!r}"

    def connect(self):
        return asyncio.open_unix_connection(self.socket)

    async def get(self, path):
        headers = [("authorization", "Bearer sk_test_12345")]
        status, answer = await web.call(("localhost", 80), "GET", path, headers=headers, connect=self.connect)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {answer}")
        return answer

    async def books(self):
        rows, after = [], ""
        while True:
            page = await self.get(f"/v1/payment_intents?limit=100{after}")
            rows += page["data"]
            if not page["has_more"]:
                return rows
            after = f"&starting_after={page['data'][-1]['id']}"

    def kill(self):
        if self.child is not None and self.child.poll() is None:
            self.child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(5)
            self.child.kill()


def unprivileged(*more):
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", *more, "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


def log(text):
    print(text, flush=True)


class Clock:
    def __init__(self):
        self.begun = time.monotonic()

    def say(self, what, text):
        log(f"{time.monotonic() - self.begun:7.1f} s  {what:<12} {text}")


def fail(text):
    log(f"tools/chaos: {text}")
    sys.exit(2)
