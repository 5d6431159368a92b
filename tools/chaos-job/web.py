"""An HTTP client that sends once, on a connection of its own, and never repeats anything."""

import asyncio
import json


class Lost(Exception):
    """No whole answer came."""


async def call(address, method, path, body=None, headers=(), patience=60.0, connect=None):
    """The status and the JSON of the answer."""
    try:
        return await asyncio.wait_for(_call(address, method, path, body, headers, connect), patience)
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        raise Lost(f"{type(error).__name__}: {error}") from error


async def _call(address, method, path, body, headers, connect):
    host, port = address
    opened = connect() if connect else asyncio.open_connection(host, port)
    reader, writer = await opened
    try:
        data = body.encode() if body else b""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
        if data:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        named = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if named.get("transfer-encoding") == "chunked":
            text = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                text += (await reader.readexactly(size + 2))[:-2]
        elif "content-length" in named:
            text = await reader.readexactly(int(named["content-length"]))
        else:
            text = await reader.read()
        return status, json.loads(text) if text else None
    finally:
        writer.close()
