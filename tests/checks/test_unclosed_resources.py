import asyncio
import socket

import pytest

from asyncunit.checks import unclosed_resources as resources
from asyncunit.checks.unclosed_resources import close, findings_of, left_open, note_sockets, noting_generators
from asyncunit.config.settings import Config
from tests.conftest import open_scope


@pytest.fixture
def owner():
    owner = open_scope()
    owner.config = Config(fail_on=frozenset({"unclosed_resources"}))
    note_sockets()
    return owner


def run(owner, coroutine):
    async def main():
        return await asyncio.create_task(noting_generators(coroutine), context=owner.context)

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


def test_the_hook_is_put_in_once():
    note_sockets()
    note_sockets()
    assert resources._is_noting
