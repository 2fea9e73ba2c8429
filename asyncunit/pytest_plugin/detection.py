"""Whether what pytest finds in a module or a class is for asyncunit to look at; asked of all of it, so it is quick."""

from __future__ import annotations

import sys
import types
from typing import Any

from asyncunit.config import ASYNCIO_MARKER, MARKER

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_ASYNC = 0x80 | 0x200  # inspect.CO_COROUTINE, CO_ASYNC_GENERATOR


def members_to_look_at(holder: Any) -> list[tuple[str, Any]]:
    """The members of a module or a class by name, but for plain sync functions; none where none is for asyncunit."""
    members = [(name, member) for name, member in _members(holder) if not _is_plain(member)]
    return members if any(_is_async(*each) or has_async_tests(each[1]) for each in members) else []


def _members(holder: Any) -> Any:
    """What stands in a module, or in a class and its bases."""
    if not is_class(holder):
        return vars(holder).items()
    return {name: member for base in reversed(holder.__mro__) for name, member in vars(base).items()}.items()


def is_class(member: object) -> bool:
    """Whether it is a class."""
    return issubclass(type(member), type)  # isinstance() would wake a lazy object


def is_case(member: Any) -> bool:
    """Whether it is one of asyncunit's test classes; this does not import what those are made of."""
    case = sys.modules.get("asyncunit.cases.case")
    return case is not None and is_class(member) and issubclass(member, case.AsyncTestCase)


def has_async_tests(member: Any) -> bool:
    """Whether it is a test case, asyncunit's or one with something async in it."""
    case = sys.modules.get("unittest.case")
    if case is None or not is_class(member) or not issubclass(member, case.TestCase):
        return False
    return is_case(member) or any(_is_async(*each) for base in member.__mro__ for each in vars(base).items())


def _is_plain(member: Any) -> bool:
    """Whether it is a sync function that nothing has been written on, as most members of a module are."""
    return type(member) is types.FunctionType and not (member.__code__.co_flags & _ASYNC or member.__dict__)


def _is_async(name: str, member: Any) -> bool:
    """Whether it is an async function, one that is marked or run by hypothesis included; a fixture of asyncunit's."""
    if name == "pytestmark":
        return _names_marker(member)
    member = getattr(member, "__func__", member) if type(member) in (staticmethod, classmethod) else member
    if type(member).__module__ == "_pytest.fixtures":
        member = getattr(member, "__wrapped__", member)
    if type(member) is not types.FunctionType:
        return type(member).__module__ == "asyncunit.plans.fixtures"
    inner = getattr(getattr(member, "hypothesis", None), "inner_test", member)
    is_async = (member.__code__.co_flags | inner.__code__.co_flags) & _ASYNC
    return bool(is_async) or _names_marker(vars(member).get("pytestmark", ()))


def _names_marker(marks: Any) -> bool:
    """Whether one of these is a marker of asyncunit's, or of pytest-asyncio's."""
    marks = marks if type(marks) in (list, tuple) else [marks]
    return any(getattr(getattr(mark, "mark", mark), "name", None) in (MARKER, ASYNCIO_MARKER) for mark in marks)
