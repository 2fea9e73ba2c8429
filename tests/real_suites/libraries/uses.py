"""What tests do with what is shared: each opens connections, and leaves them to the pool."""

import asyncio

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession

from tests.real_suites.libraries.services import OUTSIDE


class Uses:
    """The tests, of all that ``of_scope`` gives. They are run twice, for what one has opened is used by the next."""

    async def test_asyncpg(self):
        self.assertEqual(await self.pool.fetchval("SELECT 1"), 1)

    async def test_asyncpg_opens_several_at_once(self):
        async def query(number):
            async with self.pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_sleep(0.02)")
                return await connection.fetchval("SELECT $1::int", number)

        self.assertEqual(await asyncio.gather(*map(query, range(4))), [0, 1, 2, 3])

    async def test_asyncpg_cursor_left_early(self):
        async with self.pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor("SELECT generate_series(1, 1000)", prefetch=10):
                if row[0] == 3:
                    break

    async def test_asyncpg_listens(self):
        async with self.pool.acquire() as connection:
            heard = asyncio.get_running_loop().create_future()

            def listener(*arguments):
                heard.set_result(arguments[-1])

            await connection.add_listener("channel", listener)
            await self.pool.execute("NOTIFY channel, 'news'")
            self.assertEqual(await heard, "news")
            await connection.remove_listener("channel", listener)

    async def test_asyncpg_query_too_late(self):
        with self.assertRaises(TimeoutError):
            await self.pool.fetchval("SELECT pg_sleep(10)", timeout=0.02)

    async def test_asyncpg_query_cancelled(self):
        task = asyncio.create_task(self.pool.fetchval("SELECT pg_sleep(10)"))
        await asyncio.sleep(0.05)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_sqlalchemy(self):
        async with self.engine.connect() as connection:
            self.assertEqual((await connection.execute(sqlalchemy.text("SELECT 1"))).scalar(), 1)

    async def test_sqlalchemy_opens_several_at_once(self):
        async def query(number):
            async with AsyncSession(self.engine) as session, session.begin():
                await session.execute(sqlalchemy.text("SELECT pg_sleep(0.02)"))
                return (await session.execute(sqlalchemy.text(f"SELECT {number}"))).scalar()

        self.assertEqual(await asyncio.gather(*map(query, range(4))), [0, 1, 2, 3])

    async def test_sqlalchemy_stream_left_early(self):
        async with self.engine.connect() as connection:
            rows = await connection.stream(sqlalchemy.text("SELECT generate_series(1, 1000)"))
            async for row in rows:
                if row[0] == 3:
                    break

    async def test_httpx(self):
        for url in (self.url, OUTSIDE.url):
            self.assertEqual(len((await self.client.get(url)).content), 65536)

    async def test_httpx_opens_several_at_once(self):
        for url in (self.url, OUTSIDE.url):
            responses = await asyncio.gather(*(self.client.get(url) for _ in range(4)))
            self.assertEqual([response.status_code for response in responses], [200] * 4)

    async def test_httpx_stream_left_early(self):
        for url in (self.url, OUTSIDE.url):
            async with self.client.stream("GET", url) as response:
                async for _ in response.aiter_bytes(1000):
                    break

    async def test_httpx_stream_not_read(self):
        for url in (self.url, OUTSIDE.url):
            async with self.client.stream("GET", url):
                pass

    async def test_aiohttp(self):
        for url in (self.url, OUTSIDE.url):
            async with self.session.get(url) as response:
                self.assertEqual(len(await response.read()), 65536)

    async def test_aiohttp_opens_several_at_once(self):
        async def get(url):
            async with self.session.get(url) as response:
                await response.read()
                return response.status

        for url in (self.url, OUTSIDE.url):
            self.assertEqual(await asyncio.gather(*(get(url) for _ in range(4))), [200] * 4)

    async def test_aiohttp_stream_left_early(self):
        for url in (self.url, OUTSIDE.url):
            async with self.session.get(url) as response:
                async for _ in response.content.iter_chunked(1000):
                    break

    async def test_aiohttp_response_not_read(self):
        for url in (self.url, OUTSIDE.url):
            async with self.session.get(url):
                pass

    async def test_aiohttp_websocket(self):
        async with self.session.ws_connect(f"{self.url}echo") as socket:
            await socket.send_str("hello")
            self.assertEqual(await socket.receive_str(), "hello")
