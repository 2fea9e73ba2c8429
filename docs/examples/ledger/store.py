"""Accounts in a SQLite file. SQLite blocks, so it has a thread of its own."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path


class InsufficientFunds(Exception):
    """An account holds less than was to be taken from it."""


class Store:
    """The accounts, by name, in whole cents. Use it by ``async with Store.open(path)``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Store"]:
        store = cls(path)
        await store._in_thread(store._connect)
        try:
            yield store
        finally:
            await store._in_thread(store._close)
            store._thread.shutdown()

    async def balance(self, account: str) -> int:
        return await self._in_thread(self._balance, account)

    async def deposit(self, account: str, cents: int) -> int:
        return await self._in_thread(self._change, {account: cents})

    async def transfer(self, source: str, target: str, cents: int) -> int:
        """Move money, or raise InsufficientFunds and move nothing. Returns what the source has left."""
        return await self._in_thread(self._change, {source: -cents, target: cents})

    async def begin(self) -> None:
        """Begin a transaction: what follows is kept for good, or undone by roll_back()."""
        await self._in_thread(self._connection.execute, "BEGIN IMMEDIATE")

    async def roll_back(self) -> None:
        """Undo all that was changed since begin()."""
        await self._in_thread(self._connection.execute, "ROLLBACK")

    async def _in_thread(self, function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _connect(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.execute("CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER NOT NULL)")

    def _close(self) -> None:
        self._connection.close()

    def _balance(self, account: str) -> int:
        row = self._connection.execute("SELECT cents FROM account WHERE name = ?", [account]).fetchone()
        return row[0] if row else 0

    def _change(self, changes: dict[str, int]) -> int:
        is_whole = not self._connection.in_transaction
        if is_whole:  # one that begins with reading cannot wait for another's to end
            self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("SAVEPOINT change")
        try:
            for account, cents in changes.items():
                balance = self._balance(account) + cents
                if balance < 0:
                    raise InsufficientFunds(f"{account} has {balance - cents}, {-cents} were asked for")
                self._connection.execute("INSERT OR REPLACE INTO account VALUES (?, ?)", [account, balance])
        except BaseException:
            self._connection.execute("ROLLBACK TO change")
            raise
        finally:
            self._connection.execute("RELEASE change")
            if is_whole:
                self._connection.execute("COMMIT")
        return self._balance(next(iter(changes)))
