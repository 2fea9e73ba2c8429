"""What markers of pytest's say of test classes, methods, modules and functions. Nothing here imports pytest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asyncunit.config.keys import MARKER, SETTINGS
from asyncunit.config.settings import ATTRIBUTE, Config, parse_settings, settings, settings_of_module, shown
from asyncunit.errors import ConfigurationError
from asyncunit.introspection.functions import class_name
from asyncunit.plans.loop_choice import check_class
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def parse_marker(marker: Any, where: str) -> dict[str, Any]:
    """What the marker ``asyncunit`` says; raises ConfigurationError for what it cannot say."""
    if marker.args:
        known = ", ".join(f"{key}=" for key in SETTINGS)
        raise ConfigurationError(
            f"{where}: the marker asyncunit has the positional argument {marker.args[0]!r}; expected keywords, some of "
            f"{known}"
        )
    return parse_settings(marker.kwargs, f"{where}: the marker asyncunit")


def read_markers(module: Any, classes: Iterable[type]) -> None:
    """Have asyncunit's test classes, their methods and their module know what markers say of them.

    Raises ConfigurationError where that is not what ``asyncunit.settings`` says in the same place.
    """
    said = _marked(vars(module), module.__name__)
    if said:
        written = settings_of_module(module.__name__)
        check_agreement(said, written, module.__name__)
        module.asyncunit_settings = _Marker(**{**written, **said})
    marked = set()
    for cls in dict.fromkeys(base for case in classes for base in case.__mro__):
        marked_members = {
            f"{class_name(cls)}.{name}": each
            for name, each in vars(cls).items()
            if "pytestmark" in getattr(each, "__dict__", ())
        }
        if "pytestmark" in vars(cls):
            marked_members[class_name(cls)] = cls
        for where, member in marked_members.items():
            if said := _marked(vars(member), where):
                check_agreement(said, vars(member).get(ATTRIBUTE, {}), where)
                _Marker(**said)(member)
                marked.add(cls)
    for cls in classes:
        if marked.intersection(cls.__mro__):
            check_class(cls)


class _Marker(settings):
    """What a marker says, where ``asyncunit.settings`` would say it."""

    _written_as = "the marker asyncunit"


def _marked(members: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What the markers ``asyncunit`` say that stand in one place, the nearest first."""
    marks = members.get("pytestmark", ())
    said: dict[str, Any] = {}
    for each in marks if isinstance(marks, list | tuple) else (marks,):
        mark = getattr(each, "mark", each)
        if getattr(mark, "name", None) == MARKER:
            said = {**parse_marker(mark, where), **said}
    return said


def effective(config: Config, loop_scope: Scope) -> dict[str, Any]:
    """The values in force for a test, as its marker has them."""
    values = {key: getattr(config, key) for key in SETTINGS}
    return {**values, "loop_scope": str(loop_scope), "fail_on": sorted(map(str, config.fail_on))}


def check_agreement(marked: Mapping[str, Any], written: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError where a marker and ``asyncunit.settings`` in the same place say different things."""
    for key in marked.keys() & written.keys():
        if marked[key] != written[key]:
            raise ConfigurationError(
                f"{where}: the marker asyncunit says {key}={shown(marked[key])}, and asyncunit.settings says "
                f"{key}={shown(written[key])}; write one of the two."
            )


def parse_asyncio_marker(marker: Any) -> dict[str, Any]:
    """What the marker ``asyncio`` says, as pytest-asyncio reads it."""
    if marker is None:
        return {}
    if marker.args or set(marker.kwargs) - {"loop_scope", "scope", "loop_factories"}:
        raise ConfigurationError(
            "mark.asyncio accepts only keyword arguments 'loop_scope' and 'loop_factories'. With more of them, as "
            "timeout=, there is mark.asyncunit."
        )
    found = {"loop_scope": _asyncio_scope(marker), "loop_factories": _asyncio_factories(marker)}
    return {key: value for key, value in found.items() if value is not None}


def _asyncio_scope(marker: Any) -> Scope | None:
    if {"scope", "loop_scope"} <= set(marker.kwargs):
        raise ConfigurationError(
            'An asyncio pytest marker defines both "scope" and "loop_scope", but it should only use "loop_scope".'
        )
    scope = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")
    if scope is None:
        return None
    names = [str(each) for each in Scope]
    if scope not in names:
        raise ConfigurationError(
            f"mark.asyncio got an unexpected loop scope value {scope!r}. Valid scopes are: {', '.join(names)}."
        )
    return Scope.parse(scope, "loop_scope")


def _asyncio_factories(marker: Any) -> tuple[str, ...] | None:
    names = marker.kwargs.get("loop_factories")
    if names is None:
        return None
    if not (isinstance(names, list | tuple) and names and all(isinstance(name, str) and name for name in names)):
        raise ConfigurationError("mark.asyncio 'loop_factories' must be a non-empty sequence of strings.")
    return tuple(names)
