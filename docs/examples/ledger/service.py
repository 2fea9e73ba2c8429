"""The store, served over TCP: a request is a line of JSON, and so is its answer. Each connection has its own store."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from ledger.store import InsufficientFunds, Store

OPERATIONS = {"balance", "begin", "deposit", "roll_back", "transfer"}


@asynccontextmanager
async def serve(path: Path) -> AsyncIterator[tuple[str, int]]:
    """Serve the accounts in that file until the block ends; gives the address, on a port that was free."""
    talks: set[asyncio.Task] = set()
    server = await asyncio.start_server(partial(_talk, path, talks), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await asyncio.gather(*talks)  # whose clients have gone


async def _talk(
    path: Path, talks: set[asyncio.Task], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    talks.add(asyncio.current_task())
    try:
        async with Store.open(path) as store:
            while line := await reader.readline():
                answer = await _answer(store, json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
    finally:
        talks.remove(asyncio.current_task())
        writer.close()


async def _answer(store: Store, request: dict) -> dict:
    operation = request.pop("do", None)
    if operation not in OPERATIONS:
        return {"error": f"unknown operation: {operation}"}
    try:
        return {"cents": await getattr(store, operation)(**request)}
    except InsufficientFunds as error:
        return {"error": str(error)}
