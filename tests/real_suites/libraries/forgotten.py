"""Each of this is a finding, once: of the test, the class or the module that has forgotten to close it."""

import asyncio

import aiohttp
import asyncpg
import httpx
from sqlalchemy.ext.asyncio import create_async_engine

import asyncunit
from tests.real_suites.libraries.services import DATABASE, OUTSIDE, of_scope, server_of_scope


async def forget_all(keep: list[object]) -> None:
    """Open one connection of each library, and keep it."""
    keep.append(connection := await asyncpg.connect(DATABASE))
    await connection.fetchval("SELECT 1")
    keep.append(client := httpx.AsyncClient(trust_env=False))
    await client.get(OUTSIDE.url)
    keep.append(session := aiohttp.ClientSession())
    async with session.get(OUTSIDE.url) as response:
        await response.read()


forgotten_by_the_module: list[object] = []


class TestForgotten(of_scope("session"), server_of_scope("session"), asyncunit.AsyncTestCase):
    """Each test forgets one thing, and uses the session's, which is not to suffer."""

    async def asyncTearDown(self):
        self.assertEqual(await self.pool.fetchval("SELECT 1"), 1)
        async with self.engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        self.assertEqual((await self.client.get(self.url)).status_code, 200)
        async with self.session.get(self.url) as response:
            await response.read()

    async def test_a_connection(self):
        self.forgotten = await asyncpg.connect(DATABASE)

    async def test_b_pool(self):
        self.forgotten = await asyncpg.create_pool(DATABASE, min_size=1, max_size=1)

    async def test_c_engine(self):
        self.forgotten = create_async_engine(DATABASE.replace("postgresql://", "postgresql+asyncpg://"))
        async with self.forgotten.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def test_d_httpx(self):
        self.forgotten = httpx.AsyncClient(trust_env=False)
        await self.forgotten.get(self.url)

    async def test_e_aiohttp(self):
        self.forgotten = aiohttp.ClientSession()
        async with self.forgotten.get(self.url) as response:
            await response.read()

    async def test_f_nothing(self):
        await asyncio.sleep(0)


class TestForgottenByTheClass(asyncunit.SessionLoopTestCase):
    kept: list[object] = []

    async def test_1(self):
        await forget_all(self.kept)

    async def test_2(self):
        """Nothing of this test."""


class TestForgottenByTheModule(asyncunit.SessionLoopTestCase):
    async def test_1(self):
        await forget_all(forgotten_by_the_module)

    async def test_2(self):
        """Nothing of this test."""
