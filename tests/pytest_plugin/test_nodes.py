import asyncio
import types

import pytest

from asyncunit import AsyncTestCase, ConfigurationError, Scope
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin.nodes import (
    ScopeNode,
    depth_of,
    effective,
    parse_asyncio_marker,
    parse_marker,
    read_markers,
    scope_nodes_of,
)
from tests.pytest_plugin.test_function_plans import mark
from tests.support import module_of

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
    (found,) = scope_nodes_of(item)
    assert vars(found) == vars(ScopeNode(Scope.SESSION, None, session))


def test_a_marker_has_keywords_only_and_known_ones():
    assert parse_marker(mark(timeout=5), "here") == {"timeout": 5.0}
    with pytest.raises(ConfigurationError, match="here: the marker asyncunit has the positional argument 5; expected"):
        parse_marker(mark("asyncunit", 5), "here")
    with pytest.raises(ConfigurationError, match="here: the marker asyncunit: there is no key 'tiemout'.*'timeout'"):
        parse_marker(mark(tiemout=5), "here")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (mark("asyncio", "session"), "accepts only keyword arguments"),
        (mark("asyncio", scop="session"), "accepts only keyword arguments"),
        (mark("asyncio", scope="session", loop_scope="session"), 'defines both "scope" and "loop_scope"'),
        (
            mark("asyncio", loop_scope="sesion"),
            "unexpected loop scope value 'sesion'. Valid scopes are: function, class",
        ),
        (mark("asyncio", loop_factories="one"), "must be a non-empty sequence of strings"),
        (mark("asyncio", loop_factories=[]), "must be a non-empty sequence of strings"),
    ],
)
def test_the_marker_of_the_peer_is_read_as_the_peer_reads_it(marker, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_asyncio_marker(marker)


def test_the_marker_of_the_peer_may_say_nothing():
    assert parse_asyncio_marker(None) == parse_asyncio_marker(mark("asyncio")) == {}
    assert parse_asyncio_marker(mark("asyncio", scope="class")) == {"loop_scope": Scope.CLASS}
    assert parse_asyncio_marker(mark("asyncio", loop_factories=["a"])) == {"loop_factories": ("a",)}


def test_the_effective_values_are_all_but_the_mode():
    values = effective(Config(timeout=5), Scope.CLASS)
    assert values["loop_scope"] == "class"
    assert values["timeout"] == 5
    assert values["fail_on"] == ["unhandled_errors"]
    assert type(values["fail_on"][0]) is str
    assert "mode" not in values


MARKED = """
import types
pytestmark = types.SimpleNamespace(name="asyncunit", args=(), kwargs={"timeout": 3})

class TestCase(asyncunit.AsyncTestCase):
    pytestmark = [types.SimpleNamespace(name="asyncunit", args=(), kwargs={"loop_scope": "class"})]

    @asyncunit.settings(timeout=5)
    async def test_x(self): pass
    test_x.pytestmark = [types.SimpleNamespace(name="asyncunit", args=(), kwargs={"timeout": TIMEOUT})]
"""


def test_markers_of_test_cases_say_what_settings_say():
    with module_of(MARKED.replace("TIMEOUT", "5")) as module:
        read_markers(module, [module.TestCase])
        assert module.asyncunit_settings.values == {"timeout": 3}
        assert module.TestCase.loop_scope is Scope.CLASS


def test_a_marker_and_settings_that_disagree_in_one_place_are_an_error():
    with module_of(MARKED.replace("TIMEOUT", "4")) as module:
        with pytest.raises(
            ConfigurationError, match=r"test_x: the marker asyncunit says timeout=4.0, and .*=5.0; write"
        ):
            read_markers(module, [module.TestCase])


def test_a_message_names_the_marker_and_the_scope_as_the_user_wrote_them():
    class TestX(AsyncTestCase):
        pytestmark = pytest.mark.asyncunit(loop_scope="module")
        loop_scope = "class"

    said = r"TestX says loop_scope = 'class' and the marker asyncunit\(loop_scope='module'\); write one of the two"
    with pytest.raises(ConfigurationError, match=said):
        read_markers(types.ModuleType("module"), [TestX])


def test_a_method_cannot_have_loop_factories():
    class TestX(AsyncTestCase):
        @pytest.mark.asyncunit(loop_factories={"a": asyncio.new_event_loop})
        async def test_x(self):
            pass

    with pytest.raises(ConfigurationError, match="TestX.test_x has the setting loop_factories: a single method cannot"):
        read_markers(types.ModuleType("module"), [TestX])
