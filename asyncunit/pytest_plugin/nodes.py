"""pytest's nodes: the scopes around an item, each with the node that lasts as long, and what markers say of them.

Nothing here imports pytest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asyncunit.config import MARKER, SETTINGS
from asyncunit.config.settings import ATTRIBUTE, Config, parse_settings, settings, settings_of_module, shown
from asyncunit.errors import ConfigurationError
from asyncunit.introspection.functions import class_name
from asyncunit.records import Record
from asyncunit.scope import Scope, ScopePath, path_of_module

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class ScopeNode(Record):
    """A scope that an item stands in: the node of pytest that lasts as long, None if there is none."""

    scope: Scope
    key: Any
    node: Any


def scope_nodes_of(item: Any) -> tuple[ScopeNode, ...]:
    """The scopes that an item of pytest stands in, widest first, without its own."""
    chain = item.listchain()
    scope_nodes = [ScopeNode(Scope.SESSION, None, chain[0])]
    module = next((node for node in chain if _is(node, "Module")), None)
    if module is None or module.obj is None:  # a text file of doctests is a module without one
        return tuple(scope_nodes)
    name = module.obj.__name__
    of_package, of_module = path_of_module(name)[1:]
    package = str(of_package[1])
    packages = [node for node in chain if _is(node, "Package")]
    names = [package]
    while packages and len(names) < len(packages):
        names.insert(0, names[0].rpartition(".")[0] or packages[len(packages) - len(names) - 1].nodeid)
    nodes = packages if package else [None]
    scope_nodes += [
        ScopeNode(Scope.PACKAGE, key, node) for key, node in zip(names[-len(nodes) :], nodes or [None], strict=True)
    ]
    scope_nodes.append(ScopeNode(*of_module, module))
    cls = getattr(item, "cls", None)
    if cls is not None:
        scope_nodes.append(ScopeNode(Scope.CLASS, cls, next(node for node in reversed(chain) if _is(node, "Class"))))
    return tuple(scope_nodes)


def path_of(scope_nodes: tuple[ScopeNode, ...]) -> ScopePath:
    """These scopes, as a run enters them."""
    return tuple((scope_node.scope, scope_node.key) for scope_node in scope_nodes)


def outermost_folder_of(item: Any) -> Any:
    """The folder that holds all that is collected; None before pytest 8, which has no node for it."""
    return next((node for node in item.listchain() if _is(node, "Dir", "_pytest.main")), None)


def _is(node: Any, name: str, module: str = "_pytest.python") -> bool:
    """Whether a node is of that class of pytest's, by its name."""
    return any(cls.__name__ == name and cls.__module__ == module for cls in type(node).__mro__)


def is_function(item: Any) -> bool:
    """Whether an item of pytest is a test function, and no test of a class of unittest's."""
    return _is(item, "Function") and not any(cls.__module__ == "_pytest.unittest" for cls in type(item).__mro__)


def outer_depth_of(scope: Scope, scope_nodes: tuple[ScopeNode, ...]) -> int:
    """As `depth_of`, but of packages the outermost: pytest-asyncio has one loop for it and what is in it."""
    if scope is Scope.PACKAGE and len(scope_nodes) > 1:
        return 2
    return depth_of(scope, scope_nodes)


def depth_of(scope: Scope, scope_nodes: tuple[ScopeNode, ...]) -> int:
    """How many of the places last as long as a scope; one more than there are for what is the test's own.

    Outside a class, the scope of a class is the test's own.
    """
    return next(
        (depth for depth in range(len(scope_nodes), 0, -1) if scope_nodes[depth - 1].scope is scope),
        len(scope_nodes) + 1,
    )


# What markers say.


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
    if marked:
        from asyncunit.plans.loop_choice import check_class  # test cases have imported it

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
