"""A server for the module: its hook asks for a loop that lasts as long, and both classes join it."""

import tempfile
import unittest
from pathlib import Path

import asyncunit
from ledger import Client, serve


def setUpModule():
    global directory
    directory = unittest.enterModuleContext(tempfile.TemporaryDirectory())


async def asyncSetUpModule():
    global address
    address = await asyncunit.enterAsyncModuleContext(serve(Path(directory, "ledger.db")))


class TestRequests(asyncunit.AsyncTestCase):
    async def asyncSetUp(self):
        self.client = await self.enterAsyncContext(Client.connect(*address))

    async def test_a_deposit_is_answered_with_the_balance(self):
        self.assertEqual(await self.client.ask("deposit", account="ann", cents=5), {"cents": 5})

    async def test_an_unknown_operation_is_an_error(self):
        self.assertEqual(await self.client.ask("burn"), {"error": "unknown operation: burn"})


class TestConnections(asyncunit.AsyncTestCase):
    async def test_what_one_connection_deposits_another_sees(self):
        one = await self.enterAsyncContext(Client.connect(*address))
        two = await self.enterAsyncContext(Client.connect(*address))
        await one.ask("deposit", account="carol", cents=7)
        self.assertEqual(await two.ask("balance", account="carol"), {"cents": 7})

    def test_sync_tests_have_their_place_too(self):
        self.assertEqual(address[0], "127.0.0.1")
