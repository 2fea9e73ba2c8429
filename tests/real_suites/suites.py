"""The suites: where they come from, and which of their tests are run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar


class Suite(NamedTuple):
    """A suite of others.

    source: the requirement whose source distribution has the tests; None for those that this Python came with
    tests: patterns of the files that have the tests, from the root of the source
    holding: text that a file must have to be one of them
    needs: the requirements that are installed for it
    """

    name: str
    source: str | None
    tests: tuple[str, ...]
    holding: str = ""
    needs: tuple[str, ...] = ()

    def modules(self, root: Path) -> list[str]:
        """The names of the modules that have the tests, in the order of their files; SystemExit where there is none."""
        found = sorted({path for pattern in self.tests for path in root.glob(pattern)})
        files = [path for path in found if self.holding in path.read_text(encoding="utf-8")]
        if not files:
            raise SystemExit(
                f"{self.name}: no file is like {' or '.join(self.tests)}; did its source come without tests?"
            )
        return [".".join(path.relative_to(root).with_suffix("").parts) for path in files]


# Where this Python came with its own tests, they are beside its library.
STANDARD_LIBRARY = Path(os.__file__).parent

# Written on IsolatedAsyncioTestCase.
ON_UNITTEST = (
    Suite(
        "aioresponses",
        "aioresponses==0.7.9",
        ("tests/test_*.py",),
        needs=("aiohttp==3.12.15", "ddt==1.7.2", "packaging", "pytest"),
    ),
    Suite(
        "aiohttp",
        "aiohttp==3.14.5",
        ("tests/test_test_utils.py", "tests/test_loop.py"),
        needs=("aiohttp==3.14.5", "pytest"),
    ),
    Suite(
        "kubernetes_asyncio",
        "kubernetes_asyncio==36.1.0",
        ("kubernetes_asyncio/**/*_test.py", "kubernetes_asyncio/client/test_*.py"),
        needs=("kubernetes_asyncio==36.1.0",),
    ),
    Suite("aiosqlite", "aiosqlite==0.22.1", ("aiosqlite/tests/smoke.py",)),
    Suite("test_asyncio", None, ("test/test_asyncio/test_*.py",), holding="IsolatedAsyncioTestCase"),
)


class PytestSuite(NamedTuple):
    """A suite that is written for pytest-asyncio.

    source: the requirement whose source distribution has the tests
    copied: what is copied from it to be run, the rest is left: it must not hide what is installed
    needs: the requirements that are installed for it, besides pytest
    options: what pytest is told
    """

    name: str
    source: str
    copied: tuple[str, ...]
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


# Written for pytest-asyncio.
ON_PYTEST_ASYNCIO = (
    PytestSuite("aiofiles", "aiofiles==25.1.0", ("tests", "pyproject.toml"), needs=("aiofiles==25.1.0",)),
    PytestSuite("asgiref", "asgiref==3.13.0", ("tests", "setup.cfg"), needs=("asgiref==3.13.0",)),
    PytestSuite("janus", "janus==2.0.0", ("tests", "setup.cfg"), needs=("janus==2.0.0", "pytest-cov")),
    PytestSuite(
        "async_lru",
        "async-lru==2.4.0",
        ("tests", "setup.cfg"),
        needs=("async-lru==2.4.0", "pytest-cov", "pytest-timeout"),
        # pytest-asyncio itself warns where the key is not set, and the suite turns warnings into errors.
        options=("--no-cov", "--ignore=tests/test_benchmark.py", "-oasyncio_default_fixture_loop_scope=function"),
    ),
    PytestSuite(
        "graphql_core",
        "graphql-core==3.3.2",
        ("tests", "pyproject.toml"),
        needs=("graphql-core==3.3.2", "pytest-benchmark", "pytest-timeout"),
    ),
    # Its own suite. The tests left out are of its internals: the version of the package, a private function for ports.
    PytestSuite(
        "pytest-asyncio",
        "pytest-asyncio==1.5.0",
        ("tests", "docs", "pyproject.toml"),
        needs=("hypothesis",),
        options=("--ignore=tests/test_package.py", "--ignore=tests/test_port_factories.py"),
    ),
)


AnySuite = TypeVar("AnySuite", Suite, PytestSuite)


def named(suites: Sequence[AnySuite], names: list[str]) -> list[AnySuite]:
    """The suites of these names, all where there are none; SystemExit where there is none of that name."""
    if unknown := sorted(set(names) - {suite.name for suite in suites}):
        raise SystemExit(f"there is no suite {unknown[0]!r}; there are: {', '.join(suite.name for suite in suites)}")
    return [suite for suite in suites if not names or suite.name in names]
