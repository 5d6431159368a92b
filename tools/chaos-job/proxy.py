"""The network between the nodes and a provider: it cuts, delays, drops, and refuses.

A proxy knows nothing of HTTP but where a request begins. It never makes a request that was not sent, never sends one
twice, and delays one by at most LATEST seconds: the sandbox's manifest promises that nothing is carried out later
than 10 s after it was sent, and the sandbox's own rules use some of that.
"""

import asyncio
import contextlib

METHODS = (b"GET ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ")
LATEST = 4.0

# What befalls a request, of 1000, when nothing worse is going on.
CHANCES = {"cut_before": 15, "cut_after": 30, "half": 10, "late_request": 15, "late_answer": 25, "drop": 10}


class Proxy:
    def __init__(self, name, connect, random, faults):
        self.name, self.connect, self.random = name, connect, random
        self.faults = faults
        self.counts = {}
        self.mode = None
        self.calm = False
        self.live = set()
        self.server = None
        self.port = 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def refuse(self, seconds):
        """Nobody listens for a while: connections are refused."""
        self.server.close()
        await asyncio.sleep(seconds)
        await self.start()

    def cut_all(self):
        for writer in list(self.live):
            writer.transport.abort()
        return len(self.live)

    def fate(self):
        if self.calm:
            return None
        if self.mode:
            return self.mode
        roll = self.random.randrange(1000)
        for name, share in CHANCES.items():
            if name.split("_")[0] not in self.faults:
                continue
            if roll < share:
                return name
            roll -= share
        return None

    async def serve(self, reader, writer):
        there = None
        self.live.add(writer)
        try:
            upstream, there = await self.connect()
            await self.carry(reader, writer, upstream, there)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.live.discard(writer)
            for end in (writer, there):
                if end is not None:
                    end.close()

    async def carry(self, reader, writer, upstream, there):
        state = {"fate": None}
        back = asyncio.create_task(self.carry_back(writer, upstream, state))
        try:
            while data := await reader.read(65536):
                if data.startswith(METHODS):
                    state["fate"] = self.fate()
                    if state["fate"]:
                        self.counts[state["fate"]] = self.counts.get(state["fate"], 0) + 1
                fate = state["fate"]
                if fate == "cut_before":
                    writer.transport.abort()
                    return
                if fate == "drop":
                    continue
                if fate == "late_request" and data.startswith(METHODS):
                    # It arrives also if its sender has left meanwhile.
                    await asyncio.sleep(self.random.uniform(0.2, LATEST))
                there.write(data)
                await there.drain()
            if state["fate"] in ("cut_after", "late_request"):
                # The provider is left to do what it was asked.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(asyncio.shield(back), 2)
        finally:
            back.cancel()

    async def carry_back(self, writer, upstream, state):
        try:
            while data := await upstream.read(65536):
                fate = state["fate"]
                if fate == "cut_after":
                    break
                if fate == "late_answer":
                    state["fate"] = None
                    await asyncio.sleep(self.random.uniform(0.2, LATEST))
                if fate == "half":
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    break
                writer.write(data)
                await writer.drain()
            writer.transport.abort() if state["fate"] in ("cut_after", "half") else writer.close()
        except (OSError, ConnectionError):
            pass
