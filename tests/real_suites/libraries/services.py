"""What the suites use: pools, engines, clients at each scope, opened when a test first needs a connection."""

import asyncio
import http.server
import os
import threading
from collections.abc import AsyncIterator

import aiohttp
import aiohttp.web
import asyncpg
import httpx
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import asyncunit

DATABASE = os.environ.get("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


class Answers(http.server.BaseHTTPRequestHandler):
    """Keeps its connections alive, and answers with 64 KiB."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "65536")
        self.end_headers()
        self.wfile.write(b"x" * 65536)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Connections(http.server.ThreadingHTTPServer):
    """Serves each connection in a thread of its own."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients leave before they have read all."""


class Outside:
    """An HTTP server in a thread that is there before the run."""

    def __init__(self) -> None:
        self._server = Connections(("127.0.0.1", 0), Answers)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"


OUTSIDE = Outside()


async def echo(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    socket = aiohttp.web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def long(_: aiohttp.web.Request) -> aiohttp.web.Response:
    return aiohttp.web.Response(text="x" * 65536)


def server_of_scope(scope: str) -> type:
    """A mixin with an HTTP server on the loop of the scope, which is at ``self.url``."""

    class Server:
        @asyncunit.fixture(scope=scope)
        async def url(cls) -> AsyncIterator[str]:
            app = aiohttp.web.Application()
            app.add_routes([aiohttp.web.get("/", long), aiohttp.web.get("/echo", echo)])
            runner = aiohttp.web.AppRunner(app)
            await runner.setup()
            site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}/"
            await runner.cleanup()

    return Server


def of_scope(scope: str) -> type:
    """A mixin with a pool, an engine, and clients that are shared at the scope; none has a connection yet."""

    class Kept:
        @asyncunit.fixture(scope=scope)
        async def pool(cls) -> AsyncIterator[asyncpg.Pool]:
            async with asyncpg.create_pool(DATABASE, min_size=0, max_size=4) as pool:
                yield pool

        @asyncunit.fixture(scope=scope)
        async def engine(cls) -> AsyncIterator[AsyncEngine]:
            engine = create_async_engine(DATABASE.replace("postgresql://", "postgresql+asyncpg://"), pool_size=4)
            yield engine
            await engine.dispose()

        @asyncunit.fixture(scope=scope)
        async def client(cls) -> AsyncIterator[httpx.AsyncClient]:
            async with httpx.AsyncClient(trust_env=False) as client:
                yield client

        @asyncunit.fixture(scope=scope)
        async def session(cls) -> AsyncIterator[aiohttp.ClientSession]:
            async with aiohttp.ClientSession() as session:
                yield session
            await asyncio.sleep(0)  # its transports are closed in the next turn, as its manual says

    return Kept
