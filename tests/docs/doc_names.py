"""Names that stand in the documentation for the reader's own code."""

import asyncio
import contextlib

import asyncunit

__all__ = ["asyncio", "asyncunit", "create_pool", "serve"]


class _Connection:
    async def fetch(self, query):
        return [query]

    @contextlib.asynccontextmanager
    async def transaction(self, *, rollback=False):
        yield


class _Pool(_Connection):
    @contextlib.asynccontextmanager
    async def acquire(self):
        yield _Connection()


@contextlib.asynccontextmanager
async def create_pool():
    yield _Pool()


async def serve():
    await asyncio.Event().wait()
