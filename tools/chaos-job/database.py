"""PostgreSQL, alone or as two of Patroni with synchronous replication: made in the run's folder, on loopback, with fsync
on, and killed with the run."""

import asyncio
import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import web
from world import PATIENCE, die_with_parent, unprivileged


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def programs():
    found = shutil.which("initdb")
    found = [os.path.realpath(found)] if found else sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return os.path.dirname(found[-1]) if found else None


def folder_of(place, name):
    folder = place.folder / name
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    return folder


def run(command):
    return subprocess.run([*unprivileged(), *command], cwd="/", capture_output=True, text=True, check=False)


def postmaster(data):
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((data / "postmaster.pid").read_text().split()[0])
    return None


def kill(process, number):
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


class Single:
    """One server."""

    name = "PostgreSQL"

    def __init__(self, place, bin_folder):
        self.bin, self.folder = bin_folder, folder_of(place, "postgres")
        self.data, self.port = self.folder / "data", free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    async def start(self):
        made = run([f"{self.bin}/initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
                    "--locale=C", "--no-sync"])
        if made.returncode != 0:
            raise RuntimeError(made.stderr)
        await asyncio.to_thread(self.control, "start")

    def control(self, verb, *more):
        settings = f"-c listen_addresses=127.0.0.1 -p {self.port} -k '' -c max_connections=200 -c fsync=on"
        # Its output goes to files: a pipe would be held open by the server.
        command = [*unprivileged(), f"{self.bin}/pg_ctl", "-D", str(self.data), "-l", f"{self.folder}/server.log", "-w",
                   "-t", "60", *more, "-o", settings, verb]
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"pg_ctl {verb}: {(self.folder / 'server.log').read_text()[-500:]}")

    async def restart(self):
        """At once, without a checkpoint: what was not synced is recovered from the log, or lost."""
        begun = time.monotonic()
        await asyncio.to_thread(self.control, "restart", "-m", "immediate")
        return f"immediate restart, back after {time.monotonic() - begun:.1f} s"

    async def end(self):
        kill(postmaster(self.data), signal.SIGQUIT)


CONFIG = """
scope: chaos
name: {name}
restapi: {{listen: "127.0.0.1:{rest}", connect_address: "127.0.0.1:{rest}"}}
etcd3: {{host: "127.0.0.1:{etcd}"}}
bootstrap:
  dcs:
    ttl: 10
    loop_wait: 2
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    postgresql: {{use_pg_rewind: true, use_slots: true}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, {{auth: trust}}]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  data_dir: "{data}"
  bin_dir: "{bin}"
  pgpass: "{folder}/pgpass"
  authentication:
    superuser: {{username: postgres, password: chaos}}
    replication: {{username: replicator, password: chaos}}
  parameters: {{unix_socket_directories: "", max_connections: 200, fsync: "on", wal_keep_size: "256MB"}}
  pg_hba: ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
tags: {{nofailover: false}}
"""


class Member:
    def __init__(self, name, folder, bin_folder, etcd):
        self.name, self.data = name, folder / name
        self.port, self.rest = free_port(), free_port()
        self.config, self.log = folder / f"{name}.yml", folder / f"{name}.log"
        text = CONFIG.format(name=name, rest=self.rest, etcd=etcd, port=self.port, data=self.data, bin=bin_folder,
                             folder=folder)
        self.config.write_text(text)
        self.child = None

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([*unprivileged("--pdeathsig=KILL"), "patroni", str(self.config)], cwd="/", stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def kill(self):
        """Both at once, as if the machine had lost its power; its children end with the postmaster."""
        kill(self.child.pid, signal.SIGKILL)
        kill(postmaster(self.data), signal.SIGKILL)
        self.child.wait()


class Patroni:
    """Two servers, one of them the leader, and etcd to agree on which."""

    name = "PostgreSQL under Patroni, synchronous replication"

    def __init__(self, place, bin_folder):
        self.folder = folder_of(place, "patroni")
        self.etcd_port, self.etcd = free_port(), None
        self.members = [Member(name, self.folder, bin_folder, self.etcd_port) for name in ("pg-a", "pg-b")]
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        self.url = f"postgres://postgres@{hosts}/postgres"

    async def start(self):
        peer = f"http://127.0.0.1:{free_port()}"
        client = f"http://127.0.0.1:{self.etcd_port}"
        command = ["etcd", "--name", "one", "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", client,
                   "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                   "--initial-cluster", f"one={peer}"]
        with open(self.folder / "etcd.log", "ab") as log:
            self.etcd = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                         preexec_fn=die_with_parent)
        for member in self.members:
            member.start()
        await self.whole(90)

    async def roles(self):
        for member in self.members:
            try:
                _, cluster = await web.call(("127.0.0.1", member.rest), "GET", "/cluster", patience=3)
                return {one["name"]: one["role"] for one in cluster["members"] if one["state"] in ("running", "streaming")}
            except (web.Lost, KeyError, TypeError):
                continue
        return {}

    async def whole(self, patience=60):
        """Waits until there is a leader and a standby that has all that was committed."""
        begun = time.monotonic()
        while True:
            roles = await self.roles()
            if sorted(roles.values()) == ["leader", "sync_standby"]:
                return roles
            if time.monotonic() - begun > patience:
                return None
            await asyncio.sleep(0.5)

    def leader(self, roles):
        return next(member for member in self.members if roles.get(member.name) == "leader")

    async def restart(self):
        roles = await self.whole()
        if roles is None:
            return "not done: there is no standby in time"
        data = self.leader(roles).data
        before = postmaster(data)
        kill(before, signal.SIGQUIT)
        begun = time.monotonic()
        # What Patroni says of its members is a loop old: the new process is what shows that it has seen this.
        while postmaster(data) in (None, before):
            if time.monotonic() - begun > 60:
                raise RuntimeError("Patroni does not start its server again within 60 s")
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        await self.whole()
        return f"immediate shutdown of the leader's server, whole again after {time.monotonic() - begun:.1f} s"

    async def kill_leader(self):
        roles = await self.whole()
        if roles is None:
            return "not done: there is no standby in time"
        old = self.leader(roles)
        begun = time.monotonic()
        old.kill()
        while True:
            new = [name for name, role in (await self.roles()).items() if role == "leader" and name != old.name]
            if new:
                break
            if time.monotonic() - begun > 60:
                raise RuntimeError("Patroni has no new leader after 60 s")
            await asyncio.sleep(0.3)
        changed = time.monotonic() - begun
        old.start()
        await self.whole()
        return f"{old.name} lost, {new[0]} leads after {changed:.1f} s, whole again after {time.monotonic() - begun:.1f} s"

    async def end(self):
        for member in self.members:
            if member.child is not None:
                member.kill()
        if self.etcd is not None:
            self.etcd.kill()


def made(place, wanted):
    """The database, and why it is not the one that was wanted."""
    bin_folder = programs()
    if bin_folder is None:
        return None, "initdb was not found; on Debian: apt-get install postgresql"
    if not wanted:
        return Single(place, bin_folder), None
    missing = [name for name in ("patroni", "etcd") if shutil.which(name) is None]
    if missing:
        return Single(place, bin_folder), f"{' and '.join(missing)} not installed; on Debian: patroni, etcd-server"
    return Patroni(place, bin_folder), None
