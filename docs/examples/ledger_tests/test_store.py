"""A store for each class: a loop that the tests of the class share, inferred from its hook."""

import asyncio
import tempfile
from pathlib import Path

import asyncunit
from ledger import InsufficientFunds, Store


class TestStore(asyncunit.AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.store = await cls.enterAsyncClassContext(Store.open(Path(directory, "ledger.db")))

    async def asyncSetUp(self):
        await self.enterAsyncContext(asyncio.timeout(10))
        self.account = self.id()

    async def test_a_new_account_is_empty(self):
        self.assertEqual(await self.store.balance(self.account), 0)

    async def test_deposits_add_up(self):
        await self.store.deposit(self.account, 300)
        self.assertEqual(await self.store.deposit(self.account, 200), 500)

    async def test_many_deposits_at_once_add_up(self):
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(self.store.deposit(self.account, 5))
        self.assertEqual(await self.store.balance(self.account), 100)

    async def test_a_transfer_moves_money_or_nothing(self):
        await self.store.deposit(self.account, 500)
        self.assertEqual(await self.store.transfer(self.account, "bob", 400), 100)
        with self.assertRaises(InsufficientFunds):
            await self.store.transfer(self.account, "bob", 400)
        self.assertEqual(await self.store.balance(self.account), 100)
        self.assertEqual(await self.store.balance("bob"), 400)
