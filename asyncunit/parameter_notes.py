"""What there is to say of an error that calling a test has raised, where that is about a parameter or a fixture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from asyncunit.errors import FixtureNotSetUpError, did_you_mean
from asyncunit.fixtures import REQUEST
from asyncunit.plans import Plan

__all__ = ["parameter_note"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def parameter_note(plan: Plan, error: Exception, name: str, method: Any, filled: Iterable[str]) -> str | None:
    """What there is to say of a parameter of a test that nobody, or more than one, has filled, and the like."""
    names = sorted(plan.resolver.names)
    if isinstance(error, FixtureNotSetUpError):
        return None
    if isinstance(error, AttributeError) and error.name in names and isinstance(error.obj, plan.resolver.cls):
        return f"{error.name!r} is a fixture of the module. Name it as a parameter: def test_...(self, {error.name})."
    text = str(error)
    called = text.partition("()")[0]
    if called.rpartition(".")[2] != name.partition("[")[0] and called not in _names_in_errors(method):
        return None
    for each in filled:
        if f"multiple values for argument {each!r}" in text:
            return f"asyncunit passes {each!r} by keyword; parameters that decorators fill stand before such."
        if f"unexpected keyword argument {each!r}" in text or ("positional-only" in text and f"'{each}'" in text):
            return (
                f"asyncunit passes {each!r} by keyword, for the test names it as a parameter. Have what takes it, "
                f"a decorator mostly, take it by keyword and pass it on: *args, **kwargs."
            )
    missing = re.findall(r"'(\w+)'", text.partition("missing ")[2])
    if not missing:
        return None
    if missing[0] == REQUEST:
        return "'request' is what fixtures are told by who asks for them; a test reads its values by their names."
    if missing[0] in names:
        return (
            f"{missing[0]!r} is a fixture, but a decorator of the test hides its parameters. Write "
            f"@functools.wraps(function) in the decorator."
        )
    there = f"The fixtures that {plan.resolver.cls.__qualname__} has: {', '.join(names) or 'none'}."
    return f"asyncunit passes the fixtures that a test names. {there}{did_you_mean(missing[0], names)}"


def _names_in_errors(method: Any) -> set[str]:
    """The names by which Python's own errors call a test, and what its decorators have put in front."""
    names = set()
    while method is not None:
        names.add(getattr(method, "__qualname__", ""))
        method = getattr(method, "__wrapped__", None)
    return names
