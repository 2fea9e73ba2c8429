"""What type checkers make of fixtures: checked by mypy in its strict mode, and run as a suite by test_fixtures."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

import asyncunit


class Connection:
    async def fetch(self) -> int:
        return 5


class Database:
    @asyncunit.fixture
    async def awaited(self) -> Connection:
        return Connection()

    @asyncunit.fixture(scope="class")
    async def yielded(cls) -> AsyncIterator[Connection]:
        yield Connection()

    @asyncunit.fixture(autouse=True)
    def returned(self) -> str:
        return "text"

    @asyncunit.fixture
    def generated(self, yielded: Connection) -> Iterator[tuple[Connection, int]]:
        yield yielded, 1

    @asyncunit.fixture(scope="class")
    @classmethod
    async def of_class(cls) -> AsyncIterator[str]:
        yield cls.__name__

    @asyncunit.fixture(params=[1, 2], ids=str)
    def number(self, request: asyncunit.Request) -> int:
        value: int = request.param
        return value


strict = asyncunit.settings(fail_on="all")


class TestTypes(Database, asyncunit.mixins.UnusedPorts, asyncunit.mixins.TemporaryDirectory, asyncunit.AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls) -> None:
        assert_type(cls.yielded, Connection)

    @asyncunit.parametrize("a, b", [(1, 2), asyncunit.param(3, 4, id="more")])
    async def test_types(self, a: int, b: int, yielded: Connection) -> None:
        assert_type(self.awaited, Connection)
        assert_type(self.yielded, Connection)
        assert_type(self.returned, str)
        assert_type(self.generated, tuple[Connection, int])
        assert_type(self.number, int)
        assert_type(self.of_class, str)
        assert_type(self.unused_tcp_port, int)
        assert_type(self.tmp_path, Path)
        self.assertIs(yielded, self.yielded)
        self.assertEqual(await self.awaited.fetch(), 5)
        self.assertEqual(b, a + 1)

    # Without slow_callbacks: the verdict is not to depend on how busy the machine is.
    @asyncunit.settings(timeout=5, fail_on=["unhandled_errors", "leaked_tasks"], background_tasks=["pool.*"])
    async def test_expected_errors(self) -> None:
        with self.assertRaises(AssertionError), self.expectUnhandledErrors(ValueError) as caught:
            pass
        assert_type(caught, list[ValueError])
