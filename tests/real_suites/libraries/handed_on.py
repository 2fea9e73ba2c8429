"""Nothing of this is a finding: what one scope opens goes on from scope to scope, to the one that keeps it."""

import asyncio

import aiohttp
import asyncpg
import httpx

import asyncunit
from tests.real_suites.libraries.services import DATABASE, OUTSIDE, of_scope, server_of_scope

Session, Server = of_scope("session"), server_of_scope("session")


class Application:
    """Opens what it needs when it is first used, by whomever; its owner closes it at the end of the run."""

    pool: asyncpg.Pool | None = None
    client: httpx.AsyncClient | None = None
    session: aiohttp.ClientSession | None = None

    async def use(self) -> None:
        if self.pool is None:
            self.pool = await asyncpg.create_pool(DATABASE, min_size=0, max_size=2)
            self.client = httpx.AsyncClient(trust_env=False)
            self.session = aiohttp.ClientSession()
        assert self.client is not None
        assert self.session is not None
        assert await self.pool.fetchval("SELECT 1") == 1
        assert (await self.client.get(OUTSIDE.url)).status_code == 200
        async with self.session.get(OUTSIDE.url) as response:
            await response.read()

    async def close(self) -> None:
        if self.pool and self.client and self.session:
            await self.pool.close()
            await self.client.aclose()
            await self.session.close()
            await asyncio.sleep(0)


async def use(pool, engine, client, session, *urls):
    """Opens three connections of each."""

    async def query():
        async with pool.acquire() as connection:
            await connection.execute("SELECT pg_sleep(0.01)")

    async def execute():
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT pg_sleep(0.01)")

    async def get(url):
        async with session.get(url) as response:
            await response.read()

    for url in urls:
        await asyncio.gather(*(each for _ in range(3) for each in (query(), execute(), client.get(url), get(url))))


class Shared(Session, Server):
    """What the session has, used first by something that is open shorter than it."""

    @asyncunit.fixture(scope="session")
    async def application(cls):
        application = Application()
        yield application
        await application.close()

    @asyncunit.fixture(scope="module")
    async def used_by_the_module(cls, pool, engine, client, session, url, application):
        await use(pool, engine, client, session, url, OUTSIDE.url)
        yield
        await use(pool, engine, client, session, url, OUTSIDE.url)
        await application.use()

    @asyncunit.fixture(scope="class")
    async def used_by_the_class(cls, pool, engine, client, session, url, used_by_the_module):
        await use(pool, engine, client, session, url, OUTSIDE.url)
        yield
        await use(pool, engine, client, session, url, OUTSIDE.url)


class Uses(Shared):
    async def asyncSetUp(self):
        await self.use()

    async def use(self):
        await use(self.pool, self.engine, self.client, self.session, self.url, OUTSIDE.url)

    async def test_1(self):
        await self.use()

    async def test_2(self):
        await self.application.use()

    async def test_3(self):
        calls = [
            self.pool.fetchval("SELECT pg_sleep(10)"),
            self.application.use(),
            self.client.get(OUTSIDE.url),
            self.session.get(self.url),
        ]
        for call in calls:
            task = asyncio.create_task(call)
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait([task])

    async def test_4(self):
        await self.pool.expire_connections()
        await self.engine.dispose()
        await self.use()


class TestFirst(Uses, asyncunit.AsyncTestCase):
    """The session's things are used first by the module, then by the class, then by a test."""


class TestSecond(Uses, asyncunit.AsyncTestCase):
    """They are used by another class of the module."""


class TestOfAttributes(asyncunit.SessionLoopTestCase):
    """A pool in an attribute of the class, opened by a test and not by the class."""

    application = Application()

    async def test_1(self):
        await self.application.use()

    async def test_2(self):
        await self.application.use()

    @classmethod
    async def asyncTearDownClass(cls):
        await cls.application.close()
