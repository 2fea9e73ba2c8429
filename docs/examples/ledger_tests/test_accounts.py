"""Tests on the server of the session: see also test_transfers, which talks to the same one."""

from ledger_tests.support import ServedTestCase


class TestAccounts(ServedTestCase):
    async def test_a_new_account_is_empty(self):
        self.assertEqual(await self.client.ask("balance", account="nobody"), {"cents": 0})

    async def test_a_deposit_is_kept(self):
        await self.client.ask("deposit", account="dora", cents=11)
        self.assertEqual(await self.client.ask("balance", account="dora"), {"cents": 11})
