"""Tests on the server of the session: see also test_transfers, which talks to the same one."""

import asyncunit
from ledger_tests.support import Transaction


class TestAccounts(Transaction, asyncunit.AsyncTestCase):
    async def test_a_new_account_is_empty(self):
        self.assertEqual(await self.client.ask("balance", account="dora"), {"cents": 0})

    @asyncunit.parametrize("cents", [1, 11])
    async def test_a_deposit_is_kept(self, cents):
        # The account is empty again each time: what the other test did was rolled back.
        self.assertEqual(await self.client.ask("deposit", account="dora", cents=cents), {"cents": cents})
        self.assertEqual(await self.client.ask("balance", account="dora"), {"cents": cents})
