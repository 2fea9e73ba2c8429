"""The store, served over TCP: a request is a line of JSON, and so is its answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from ledger.store import InsufficientFunds, Store

OPERATIONS = {"balance", "deposit", "transfer"}


@asynccontextmanager
async def serve(store: Store) -> AsyncIterator[tuple[str, int]]:
    """Serve until the block ends; gives the address, on a port that was free."""
    server = await asyncio.start_server(partial(_talk, store), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def _talk(store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            answer = await _answer(store, json.loads(line))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    finally:
        writer.close()


async def _answer(store: Store, request: dict) -> dict:
    operation = request.pop("do", None)
    if operation not in OPERATIONS:
        return {"error": f"unknown operation: {operation}"}
    try:
        return {"cents": await getattr(store, operation)(**request)}
    except InsufficientFunds as error:
        return {"error": str(error)}
