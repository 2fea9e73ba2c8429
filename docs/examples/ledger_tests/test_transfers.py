"""More tests on the server of the session, in another module."""

from ledger_tests.support import ServedTestCase


class TestTransfers(ServedTestCase):
    async def asyncSetUp(self):
        self.account = self.id()
        await self.client.ask("deposit", account=self.account, cents=10)

    async def test_a_transfer_leaves_the_rest(self):
        answer = await self.client.ask("transfer", source=self.account, target="eve", cents=4)
        self.assertEqual(answer, {"cents": 6})

    async def test_too_large_a_transfer_is_refused(self):
        answer = await self.client.ask("transfer", source=self.account, target="eve", cents=40)
        self.assertEqual(answer, {"error": f"{self.account} has 10, 40 were asked for"})

    async def test_the_server_was_started_once_for_all_modules(self):
        self.assertEqual(self.starts, 1)
