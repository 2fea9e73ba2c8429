"""Where an item of pytest stands: the scopes around it, each with the node of pytest that lasts as long."""

from __future__ import annotations

from typing import Any, NamedTuple

from asyncunit.scope import Scope, ScopePath, path_of_module

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class ScopeNode(NamedTuple):
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
