import types

import pytest

from asyncunit import Scope
from asyncunit.pytest_plugin.nodes import ScopeNode, depth_of, scope_nodes_of

PLACES = tuple(ScopeNode(scope, str(scope), object()) for scope in (Scope.SESSION, Scope.PACKAGE, Scope.MODULE))


@pytest.mark.parametrize(
    ("scope", "depth"),
    [(Scope.SESSION, 1), (Scope.PACKAGE, 2), (Scope.MODULE, 3), (Scope.CLASS, 4), (Scope.FUNCTION, 4)],
)
def test_outside_a_class_the_scope_of_a_class_is_the_tests_own(scope, depth):
    assert depth_of(scope, PLACES) == depth


def test_an_item_that_stands_in_no_module_has_the_session_around_it():
    session = object()
    item = types.SimpleNamespace(listchain=lambda: [session, item])
    assert scope_nodes_of(item) == (ScopeNode(Scope.SESSION, None, session),)
