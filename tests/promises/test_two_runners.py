"""One suite with every feature in it, under unittest, under ``python -m asyncunit`` and under pytest."""

import os
import re
import sys

import pytest

from tests.support import ROOT, python

# In the order of the alphabet, classes first, which is the order of all three.
SUITE = """
import asyncio
import os
import unittest

import asyncunit
from asyncunit import load_tests


def note(text):
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{text}\\n")


def setUpModule(): note("setUpModule")
async def asyncSetUpModule():
    note("asyncSetUpModule")
    asyncunit.addAsyncModuleCleanup(cleanup, "module")
async def asyncTearDownModule(): note("asyncTearDownModule")
def tearDownModule(): note("tearDownModule")
async def cleanup(what): note(f"cleanup {what}")


@asyncunit.fixture(scope="session")
async def pool():
    note("pool up")
    async with asyncio.timeout(60):
        yield asyncio.get_running_loop()
    note("pool down")


@asyncunit.fixture
async def connection(pool):
    note("connection up")
    yield pool
    note("connection down")


@asyncunit.fixture(params=["a", "b"])
def letter(request):
    return request.param


class Mixin:
    @asyncunit.fixture(scope="class")
    async def server(cls):
        note(f"server up for {cls.__name__}")
        yield "server"
        note("server down")

    @asyncunit.fixture
    async def client(self, server):
        note("client up")
        yield f"client of {server}"
        note("client down")


class TestA(Mixin, asyncunit.AsyncTestCase):
    @classmethod
    def setUpClass(cls): note("setUpClass")
    @classmethod
    async def asyncSetUpClass(cls):
        note("asyncSetUpClass")
        cls.addAsyncClassCleanup(cleanup, "class")
    @classmethod
    async def asyncTearDownClass(cls): note("asyncTearDownClass")
    @classmethod
    def tearDownClass(cls): note("tearDownClass")
    def setUp(self): note("setUp")
    async def asyncSetUp(self):
        note("asyncSetUp")
        self.addAsyncCleanup(cleanup, "test")
        self.addCleanup(note, "sync cleanup")
    async def asyncTearDown(self): note("asyncTearDown")
    def tearDown(self): note("tearDown")

    async def test_a_fixture(self):
        note(self.client)

    async def test_b_parameter(self, client, pool):
        assert pool is asyncio.get_running_loop()

    @asyncunit.parametrize("number", [1, asyncunit.param(2, expected_failure=True), asyncunit.param(3, skip="no")])
    async def test_c_many(self, number):
        self.assertEqual(number, 1)

    async def test_d_fails(self):
        self.fail("as it should")

    async def test_e_subtests(self):
        for number in range(2):
            with self.subTest(number=number):
                await asyncio.sleep(0)

    @unittest.skip("not now")
    async def test_f_skipped(self): ...

    def test_g_sync(self):
        note("sync test")

    @asyncunit.settings(timeout=0.05)
    async def test_h_times_out(self):
        await asyncio.Event().wait()

    async def test_i_cleanup_fails(self):
        self.addAsyncCleanup(self.fail_later)

    async def fail_later(self):
        raise OSError("in a cleanup")

    async def test_j_leaves_an_error(self):
        asyncio.ensure_future(self.fail_later())
        await asyncio.sleep(0)


class TestB(asyncunit.SessionLoopTestCase):
    @asyncunit.settings(fail_on="leaked_tasks")
    async def test_leak(self):
        asyncio.ensure_future(asyncio.Event().wait())

    async def test_next(self, connection):
        assert connection is asyncio.get_running_loop()


class TestC(asyncunit.AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        raise unittest.SkipTest("the class is skipped")

    async def test_x(self): ...


async def test_function(connection):
    assert connection is asyncio.get_running_loop()


async def test_letters(letter):
    note(f"letter {letter}")


@asyncunit.parametrize("number", [1, 2])
async def test_numbers(number):
    assert number == 1


@unittest.skip("not now")
async def test_skipped(): ...


def test_sync(connection):
    note("sync function")
"""

VERDICTS = {"ok": "passed", "ERROR": "failed", "FAIL": "failed", "expected failure": "xfailed", "skipped": "skipped"}


def run(directory, *command, **environ):
    events = directory / "events"
    events.unlink(missing_ok=True)
    result = python("-m", *command, cwd=directory, EVENTS=str(events), **environ)
    return result, events.read_text(encoding="utf-8").splitlines()


def under_unittest(directory, *command):
    result, events = run(directory, *command, "-v")
    found = {}
    for line in result.stderr.splitlines():
        if match := re.match(r"(?:\S+ \((\S+)\)|\S+) \.\.\. (ok|ERROR|FAIL|expected failure|skipped)", line):
            found[match[1].removeprefix("test_every.")] = VERDICTS[match[2]]
    return found, events


def under_pytest(directory):
    result, events = run(
        directory,
        "pytest",
        "-v",
        "-p",
        "asyncunit.pytest_plugin",
        "-p",
        "no:cacheprovider",
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    found = {}
    for line in result.stdout.splitlines():
        if match := re.match(r"test_every\.py::(\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)", line):
            verdict = {"ERROR": "failed", "XFAIL": "xfailed"}.get(match[2], match[2].lower())
            found.setdefault(match[1].replace("::", "."), verdict)
    return found, events


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "test_every.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.asyncunit]\nmode = "auto"\n', encoding="utf-8")
    return tmp_path


def test_verdicts_and_the_order_of_hooks_are_the_same_under_all_three(directory):
    plain = under_unittest(directory, "unittest")
    ours = under_unittest(directory, "asyncunit")
    through_pytest = under_pytest(directory)
    assert plain == ours
    verdicts, events = plain
    if sys.version_info[:2] == (3, 12):  # 3.12.1 does not name a test that is skipped
        verdicts.setdefault("TestA.test_c_many[3]", "skipped")
    # A class that skips itself is one skip to unittest, and one for each of its tests to pytest.
    assert verdicts.pop("TestC") == through_pytest[0].pop("TestC.test_x") == "skipped"
    assert verdicts == through_pytest[0]
    assert events == through_pytest[1]
    assert len(verdicts) == 21
    assert list(verdicts.values()).count("failed") == 6


VARIANTS = """
import asyncio
import os

import asyncunit
from asyncunit import load_tests


def note(text):
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{text}\\n")


@asyncunit.fixture(params=["1", "2"])
def z(request): return request.param

@asyncunit.fixture(params=["1", "2"])
def y(request, x): return request.param

@asyncunit.fixture(params=["1", "2"])
def x(request): return request.param

@asyncunit.settings(loop_factories={"one": asyncio.SelectorEventLoop, "two": asyncio.SelectorEventLoop})
@asyncunit.parametrize("inner", ["1", "2"])
@asyncunit.parametrize("outer", ["1", "2"])
async def test_many(inner, y, z, outer):
    note(f"z{z} y{y} outer{outer} inner{inner}")

@asyncunit.fixture(params=["1", "2"], autouse=True)
def other(request, x, z):
    note(f"z{z} x{x} other{request.param}")
"""


def test_the_variants_of_a_function_have_the_same_names_and_order_under_all_three(tmp_path):
    (tmp_path / "test_every.py").write_text(VARIANTS, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.asyncunit]\nmode = "auto"\n', encoding="utf-8")
    verdicts, events = under_unittest(tmp_path, "unittest")
    assert (verdicts, events) == under_unittest(tmp_path, "asyncunit")
    assert (verdicts, events) == under_pytest(tmp_path)
    assert list(verdicts)[:2] == ["test_many[one-1-1-1-1-1-1]", "test_many[one-1-1-1-1-1-2]"]
    assert len(verdicts) == 2**7
    assert set(verdicts.values()) == {"passed"}


def test_the_example_suite_has_the_same_verdicts_under_all_three(tmp_path):
    examples = ROOT / "docs" / "examples"
    for command in (
        ["unittest", "discover", "-s", str(examples)],
        ["asyncunit", "discover", "-s", str(examples)],
        ["pytest", "-q", "-p", "asyncunit.pytest_plugin", "-p", "no:cacheprovider", str(examples)],
    ):
        path = f"{ROOT}{os.pathsep}{examples}"
        result = python("-m", *command, cwd=tmp_path, PYTHONPATH=path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "14" in (result.stdout + result.stderr)
