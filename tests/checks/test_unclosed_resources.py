import asyncio
import socket
import sys
import weakref

import pytest

from asyncunit import ClassLoopTestCase, LeftBehindError, settings
from asyncunit.checks import findings
from asyncunit.checks.unclosed_resources import close, findings_of, left_open, note_generators, note_sockets
from asyncunit.config.settings import Config
from tests.checks.test_left_callbacks import FACTORIES
from tests.conftest import open_scope
from tests.support import run as run_tests


@pytest.fixture
def owner():
    owner = open_scope()
    owner.config = Config(fail_on=frozenset({"unclosed_resources"}))
    note_sockets()
    return owner


def run(owner, coroutine):
    async def main():
        note_generators()
        return await asyncio.create_task(coroutine, context=owner.context)

    return asyncio.run(main())


async def numbers():
    yield 1
    yield 2


async def serve():
    return await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)


def test_an_open_socket_is_known_to_the_scope_that_made_it(owner):
    made = owner.context.run(socket.socket)
    with socket.socket():
        assert left_open(owner) == [made]
    [finding] = findings_of(owner, [made])
    assert finding.text.startswith(f"an open socket, made at {__file__}:")
    made.close()
    assert left_open(owner) == []


def test_a_scope_that_does_not_look_for_them_knows_of_none(owner):
    owner.config = Config()
    with owner.context.run(socket.socket):
        assert owner.made is None


def test_a_server_and_a_transport_are_named_and_closed(owner):
    async def test():
        server = await serve()
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        things = [
            thing for thing in left_open(owner) if thing.getsockname()[1] == port or thing.getpeername()[1] == port
        ]
        texts = sorted(finding.text.partition(",")[0] for finding in findings_of(owner, things))
        await close(left_open(owner), [])
        await asyncio.sleep(0)
        return texts, server.is_serving(), writer.is_closing(), left_open(owner)

    texts, serves, is_closing, left = run(owner, test())
    assert texts[:2] == ["an open server", "an open transport"]
    assert (serves, is_closing, left) == (False, True, [])


def test_an_async_generator_that_is_not_at_its_end_is_open(owner):
    async def test():
        generator, finished = numbers(), numbers()
        await anext(generator)
        [_ async for _ in finished]
        left = left_open(owner)
        texts = [finding.text for finding in findings_of(owner, left)]
        await close(left, [])
        return left == [generator], texts, left_open(owner)

    found, [text], left = run(owner, test())
    assert text.startswith(f"an open async generator, made at {__file__}:")
    assert (found, left) == (True, [])


LIBRARY = """
async def inner():
    yield 1
    yield 2

async def begin():
    generator = inner()
    await anext(generator)
    return generator
"""


def test_an_async_generator_that_a_library_begins_for_itself_is_left_to_it(owner):
    library = {"__name__": "library"}
    exec(compile(LIBRARY, "/environment/site-packages/library.py", "exec"), library)

    async def test():
        inner, begun_here = await library["begin"](), library["inner"]()
        await anext(begun_here)
        found = left_open(owner)
        await inner.aclose()
        await begun_here.aclose()
        return found == [begun_here]

    assert run(owner, test())


def test_a_socket_that_a_loop_watches_is_taken_off_it(owner):
    async def test():
        one, other = socket.socketpair()
        asyncio.get_running_loop().add_reader(one, print)
        file = one.fileno()
        await close([one, other], [])
        return asyncio.get_running_loop().remove_reader(file)

    assert run(owner, test()) is False


def test_the_hook_is_put_in_once(monkeypatch):
    hooks = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    monkeypatch.setattr(findings, "_heard", {})
    note_sockets()
    note_sockets()
    findings.hear(["another.event"], print)
    assert hooks == [findings._hear]


async def address_of_a_server(cls):
    """Where the class has a server that answers nothing."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    cls.addClassCleanup(server.close)
    return server.sockets[0].getsockname()


async def connected(kind, address):
    """A transport of that kind, and its protocol."""
    loop = asyncio.get_running_loop()
    if kind == "connection":
        return await loop.create_connection(asyncio.Protocol, *address)
    if kind == "connection on a socket":
        return await loop.create_connection(asyncio.Protocol, sock=socket.create_connection(address))
    if kind == "datagrams":
        return await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    return await loop.subprocess_exec(asyncio.SubprocessProtocol, sys.executable, "-c", "input()")


KINDS = ["connection", "connection on a socket", "datagrams", "process"]
ON_EACH_LOOP = pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__module__.partition(".")[0])


@ON_EACH_LOOP
@pytest.mark.parametrize("kind", KINDS)
def test_each_transport_that_a_test_leaves_is_one_finding_and_is_closed(factory, kind):
    @settings(fail_on="unclosed_resources")
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        @classmethod
        async def asyncSetUpClass(cls):
            cls.address = await address_of_a_server(cls)

        async def test_1(self):
            self.transport, _ = await connected(kind, self.address)
            type(self).left = weakref.ref(self.transport)

        async def test_2(self):
            self.assertTrue(self.left() is None or self.left().is_closing())

    if kind == "process" and factory is not asyncio.SelectorEventLoop:
        pytest.skip("uvloop's processes cannot be remembered")
    result = run_tests(Test)
    assert (result.passed, result.errors_by_name) == (["test_2"], [("test_1", LeftBehindError)])
    assert str(result.only_error()).count("  - an open") == 1


@ON_EACH_LOOP
@pytest.mark.parametrize("kind", ["connection", "connection on a socket", "datagrams"])
def test_a_transport_that_a_test_opens_and_its_class_keeps_is_the_classs(factory, kind):
    @settings(fail_on="unclosed_resources")
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        @classmethod
        async def asyncSetUpClass(cls):
            cls.address = await address_of_a_server(cls)

        async def test_1(self):
            type(self).kept, _ = await connected(kind, self.address)

        async def test_2(self):
            self.assertFalse(self.kept.is_closing())

        @classmethod
        async def asyncTearDownClass(cls):
            cls.kept.close()

    result = run_tests(Test)
    assert (result.passed, result.raised) == (["test_1", "test_2"], [])
