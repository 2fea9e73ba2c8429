"""A connection to the service."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Client:
    """Use it by ``async with Client.connect(host, port)``. One request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, host: str, port: int) -> AsyncIterator["Client"]:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask(self, do: str, **arguments: object) -> dict:
        """Send a request, and return the answer to it."""
        self._writer.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return json.loads(await self._reader.readline())
