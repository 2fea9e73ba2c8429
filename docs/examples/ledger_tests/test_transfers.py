"""More tests on the server of the session, in another module."""

import asyncunit
from ledger_tests.support import Server, Transaction


class TestTransfers(Transaction, asyncunit.AsyncTestCase):
    @asyncunit.fixture
    async def account(self, client, transaction):
        await client.ask("deposit", account="dora", cents=10)
        return "dora"

    async def test_a_transfer_leaves_the_rest(self):
        answer = await self.client.ask("transfer", source=self.account, target="eve", cents=4)
        self.assertEqual(answer, {"cents": 6})

    async def test_too_large_a_transfer_is_refused(self):
        answer = await self.client.ask("transfer", source=self.account, target="eve", cents=40)
        self.assertEqual(answer, {"error": "dora has 10, 40 were asked for"})

    def test_one_server_is_there_for_all_modules(self):
        self.assertEqual(Server.running, 1)
