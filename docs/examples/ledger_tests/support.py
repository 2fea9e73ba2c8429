"""Fixtures, as mixins that any test class can inherit: a server for the run, a connection for each class, and so on."""

import tempfile
from pathlib import Path

import asyncunit
from ledger import Client, serve


class Server:
    """One server for all tests of the run, started by the first class that inherits this."""

    running = 0

    @asyncunit.fixture(scope="session")
    async def address(cls):
        with tempfile.TemporaryDirectory() as directory:
            async with serve(Path(directory, "ledger.db")) as address:
                Server.running += 1
                yield address
                Server.running -= 1


class Connection(Server):
    """A connection to the server for each class."""

    @asyncunit.fixture(scope="class")
    async def client(cls, address):
        async with Client.connect(*address) as client:
            yield client


class Transaction(Connection):
    """A transaction for each test, which leaves the accounts as it found them."""

    @asyncunit.fixture
    async def transaction(self, client):
        await client.ask("begin")
        yield
        await client.ask("roll_back")
