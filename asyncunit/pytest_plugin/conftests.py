"""The fixtures that conftest.py files declare with ``asyncunit.fixture``, as test cases see them.

Nothing here imports pytest.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asyncunit.introspection.functions import required_parameters
from asyncunit.plans import fixture_graph
from asyncunit.plans.fixtures import Fixture, is_fixture
from asyncunit.pytest_plugin.fixture_plans import ATTRIBUTE
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Conftests:
    """Those of one run of pytest, by their folders."""

    def __init__(self) -> None:
        self._modules: dict[Path, types.ModuleType] = {}
        self._before: Any = None

    def begin(self) -> None:
        """Have test cases know of them."""
        self._before, fixture_graph.around.of_module = fixture_graph.around.of_module, self.fixtures_around

    def end(self) -> None:
        """Have test cases know of those again that they knew before: this was a run inside another."""
        fixture_graph.around.of_module = self._before

    def add(self, conftest: types.ModuleType) -> None:
        """Take another one in."""
        self._modules[Path(str(conftest.__file__)).parent] = conftest

    def fixtures_around(self, module: types.ModuleType) -> Mapping[str, Fixture[Any]]:
        """What a test case in the module may ask for, outermost first, and sets up itself.

        All else is pytest's: what asks for a fixture of pytest's own, or what one of those asks for.
        """
        file = getattr(module, "__file__", None)
        if file is None:
            return {}
        conftests = [self._modules[each] for each in reversed(Path(file).parents) if each in self._modules]
        found: dict[str, Fixture[Any]] = {}
        pytests: set[str] = set()
        for each in [*conftests, module]:
            for name, member in vars(each).items():
                if not is_fixture(member):
                    pytests.update(_names_of_pytests(member))
                elif each is not module and _has_place(member, each, module):
                    found[member.given_name or name] = member
        own = {member.given_name or name for name, member in vars(module).items() if is_fixture(member)}
        while missing := [
            name
            for name, fixture in found.items()
            if name in pytests or any(each not in found and each not in own for each in fixture.asks_for)
        ]:
            for name in missing:
                del found[name]
        return found


def _names_of_pytests(member: Any) -> Iterable[str]:
    """The name of a fixture that is declared for pytest, and of those that it asks for; none for anything else."""
    if type(member).__name__ != "FixtureFunctionDefinition" or hasattr(member.__wrapped__, ATTRIBUTE):
        return ()  # asyncunit declares its own to pytest, too
    return (member.name, *required_parameters(member.__wrapped__))


def _has_place(fixture: Fixture[Any], conftest: types.ModuleType, module: types.ModuleType) -> bool:
    """Whether it lives as long as the scope that a test case of the module has: pytest has its own for packages."""
    package = conftest.__name__.rpartition(".")[0]
    return fixture.scope is not Scope.PACKAGE or (package != "" and package == module.__name__.rpartition(".")[0])
