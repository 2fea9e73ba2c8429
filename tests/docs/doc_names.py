"""The reader's own code, as the documentation names it. Pages import it as ``app``."""

import asyncio
import contextlib

import asyncunit

__all__ = ["asyncio", "asyncunit", "create_pool", "serve"]


class Connection:
    async def fetch(self, query):
        return [query]

    async def listen(self, channel):
        await asyncio.sleep(3600)  # the loop holds the timer, and so the task

    @contextlib.asynccontextmanager
    async def transaction(self, *, rollback=False):
        yield


class Pool(Connection):
    @contextlib.asynccontextmanager
    async def acquire(self):
        yield Connection()


@contextlib.asynccontextmanager
async def create_pool():
    yield Pool()


async def serve():
    await asyncio.Event().wait()
