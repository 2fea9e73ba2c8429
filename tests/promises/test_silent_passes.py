"""The ways in which an async test can pass without having tested anything: those that the documentation lists."""

import re

import pytest

from asyncunit.checks.left_callbacks import callbacks_on
from tests.support import ROOT, run_module

PAGE = ROOT / "docs" / "silent-passes.md"

# Of each way that the page lists, by its first words there: the body of a class, and what comes of it by default and
# with fail_on = "all".
WAYS = {
    "A `yield` in an async test": (
        """
        async def test_x(self):
            assert 0
            yield
        """,
        "error",
        "error",
    ),
    "A `yield` in a sync test": (
        """
        def test_x(self):
            assert 0
            yield
        """,
        "error",
        "error",
    ),
    "A sync test that returns a coroutine": (
        """
        def test_x(self):
            return self.check()
        """,
        "runs",
        "runs",
    ),
    "A decorator that hides the coroutine": (
        """
        @hiding
        async def test_x(self):
            assert 0
        """,
        "runs",
        "runs",
    ),
    "`async def setUp`": (
        """
        async def setUp(self):
            assert 0
        def test_x(self): ...
        """,
        "runs",
        "runs",
    ),
    "`async def setUpClass`": (None, "error", "error"),
    "A forgotten `await`": (
        """
        async def test_x(self):
            self.check()
        """,
        "warning",
        "error",
    ),
    "A coroutine taken for its result": (
        """
        async def test_x(self):
            self.assertTrue(self.check())
        """,
        "warning",
        "error",
    ),
    "An assertion in a task that nobody awaits": (
        """
        async def test_x(self):
            self.task = asyncio.create_task(self.check())
            await asyncio.sleep(0)
        """,
        "error",
        "error",
    ),
    "A task that had no time to begin": (
        """
        async def test_x(self):
            asyncio.create_task(self.check())
        """,
        "error",
        "error",
    ),
    "A task that fails, and that is only cancelled after that": (
        """
        async def test_x(self):
            task = asyncio.create_task(self.check())
            await asyncio.sleep(0)
            task.cancel()
        """,
        "error",
        "error",
    ),
    "A task that was not at its assertion yet": (
        """
        async def test_x(self):
            asyncio.create_task(self.check_later())
            await asyncio.sleep(0)
        """,
        "warning",
        "error",
    ),
    "An assertion in a callback": (
        """
        async def test_x(self):
            asyncio.get_running_loop().call_soon(self.fail)
        """,
        "error",
        "error",
    ),
    "`asyncio.wait()` whose results": (
        """
        async def test_x(self):
            await asyncio.wait([asyncio.create_task(self.check())])
        """,
        "error",
        "error",
    ),
    "A server whose handler fails": (
        """
        async def test_x(self):
            async def handle(reader, writer):
                writer.close()
                self.fail()
            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await reader.read()
            writer.close()
            server.close()
            await writer.wait_closed()
        """,
        "error",
        "error",
    ),
    "A cancel scope that ends the test": (
        """
        async def asyncSetUp(self):
            await self.enterAsyncContext(swallowing())
        async def test_x(self):
            await asyncio.Event().wait()
            assert 0
        """,
        "error",
        "error",
    ),
    "A timeout that it catches itself": (
        """
        @asyncunit.settings(timeout=0.02)
        async def test_x(self):
            try:
                await asyncio.Event().wait()
            except BaseException:
                return
            assert 0
        """,
        "error",
        "error",
    ),
    "`gather(..., return_exceptions=True)`": (
        """
        async def test_x(self):
            await asyncio.gather(self.check(), return_exceptions=True)
        """,
        "passes",
        "passes",
    ),
}

# The same of what one test leaves for the next: what it does, and what the next one needs. Threads go on in any case.
LEFT = {
    "A timer that a test leaves": ("loop.call_later(3600, print)", "assert not timers(loop)"),
    "A reader of a file that is closed": (
        "pair = socket.socketpair(); loop.add_reader(pair[0], print); pair[0].close(); pair[1].close()",
        "pair = socket.socketpair(); loop.add_reader(pair[0], print); loop.remove_reader(pair[0]); "
        "pair[0].close(); pair[1].close()",
    ),
    "A handler of Ctrl-C": (
        "loop.add_signal_handler(signal.SIGINT, print)",
        "assert loop.remove_signal_handler(signal.SIGINT) is False",
    ),
    "`await loop.shutdown_default_executor()`": (
        "await loop.shutdown_default_executor()",
        "assert await asyncio.to_thread(len, '') == 0",
    ),
    "A thread that goes on": ("threading.Thread(target=self.end.wait).start()", "self.end.set()"),
}

MODULE = """
    import contextlib
    def hiding(function):
        def wrapper(*args):
            return function(*args)
        return wrapper
    @contextlib.asynccontextmanager
    async def swallowing():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                yield
    class Checks:
        async def check(self):
            assert 0
        async def check_later(self):
            await asyncio.sleep(10)
            assert 0
"""


def outcome(body, *, fail_on_all):
    settings = '@asyncunit.settings(fail_on="all")' if fail_on_all else "@asyncunit.settings()"
    result = run_module(MODULE + f"    {settings}\n    class Test(Checks, asyncunit.ClassLoopTestCase):" + body)
    if result.passed:
        return "passes"
    [(_, error)] = result.raised
    return "runs" if isinstance(error, AssertionError) else "error"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fail_on_all", [False, True])
@pytest.mark.filterwarnings("ignore:coroutine", "ignore::asyncunit.AsyncUnitWarning")
def test_what_is_made_of_each_way(way, fail_on_all):
    body, by_default, with_all = WAYS[way]
    if body is None:
        with pytest.raises(TypeError, match="Rename it to asyncSetUpClass"):
            run_module("""
                class Test(asyncunit.AsyncTestCase):
                    @classmethod
                    async def setUpClass(cls): ...
            """)
        return
    expected = with_all if fail_on_all else by_default
    assert outcome(body, fail_on_all=fail_on_all) == ("passes" if expected == "warning" else expected)


@pytest.mark.parametrize("way", LEFT)
@pytest.mark.parametrize("fail_on_all", [False, True])
@pytest.mark.filterwarnings("ignore::asyncunit.AsyncUnitWarning")
def test_what_one_test_leaves_is_not_there_for_the_next(way, fail_on_all):
    leave, need = LEFT[way]
    result = run_module(
        f"""
        import signal, socket, threading

        {'@asyncunit.settings(fail_on="all")' if fail_on_all else ""}
        class Test(asyncunit.ClassLoopTestCase):
            end = threading.Event()

            async def test_1(self):
                loop = asyncio.get_running_loop()
                {leave}

            async def test_2(self):
                loop = asyncio.get_running_loop()
                {need}
    """,
        timers=lambda loop: [each for each in callbacks_on(loop) if each.what == "a timer"],
    )
    assert result.passed == (["test_2"] if fail_on_all else ["test_1", "test_2"])


def test_the_page_lists_them_all_and_says_the_same():
    rows = re.findall(r"^\| (.+?) \|(?:.+?)\|(?:.+?)\| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1:]
    rows = [row for row in rows if not row[0].startswith(("---", "the way"))]
    assert [first[: len(way)] for (first, _), way in zip(rows, [*WAYS, *LEFT], strict=True)] == [*WAYS, *LEFT]
    assert all(ours.endswith('error with `fail_on = "all"`') for _, ours in rows[len(WAYS) :])
    for (first, ours), (way, (_, by_default, with_all)) in zip(rows, WAYS.items(), strict=False):
        assert first.startswith(way)
        words = {"error": "error", "runs": "fails", "warning": "warning", "passes": "passes"}
        assert ours.startswith(words[by_default])
        if with_all != by_default:
            assert ours.endswith(f'{words[with_all]} with `fail_on = "all"`')
