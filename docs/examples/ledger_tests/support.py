"""One server for the whole run, started by the first test class that asks for it."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import asyncunit
from ledger import Client, Store, serve


class ServedTestCase(asyncunit.SessionLoopTestCase):
    """Tests that talk to a service that all of them share, each class over a connection of its own."""

    server: asyncio.Task | None = None
    starts = 0

    @classmethod
    async def asyncSetUpClass(cls):
        if ServedTestCase.server is None or ServedTestCase.server.done():
            address = asyncio.get_running_loop().create_future()
            ServedTestCase.server = asyncio.create_task(cls.run_server(address))
            ServedTestCase.address = await address
        cls.client = await cls.enterAsyncClassContext(Client.connect(*cls.address))

    @staticmethod
    async def run_server(address):
        ServedTestCase.starts += 1
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            store = await stack.enter_async_context(Store.open(Path(directory, "ledger.db")))
            address.set_result(await stack.enter_async_context(serve(store)))
            # It ends when it is cancelled, as all tasks are when the loop of the session closes.
            await asyncio.Event().wait()
