import types

import pytest

from asyncunit import AsyncUnitWarning, ConfigurationError, DefinitionError, Scope
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin import asyncio_compat
from asyncunit.pytest_plugin.asyncio_compat import Policies, PolicyFactory, check, ownership_of
from tests.pytest_plugin.test_function_plans import coroutine_function, mark, ownership


class Policy:
    def new_event_loop(self):
        return "a loop"


def item(index=None):
    """An item that runs with the param of that index of the policy's fixture."""
    return (
        types.SimpleNamespace()
        if index is None
        else types.SimpleNamespace(callspec=types.SimpleNamespace(indices={"event_loop_policy": index}))
    )


def test_a_factory_makes_loops_by_the_policy_that_was_given_last():
    factory = PolicyFactory()
    factory.policy = Policy()
    assert factory() == "a loop"


def test_each_param_has_one_factory_whatever_the_fixture_gives():
    known = Policies()
    factory = known.factory_of(item(), "definition")
    assert known.factory_of(item(0), "definition") is factory
    assert known.factory_of(item(1), "definition") is not factory
    assert known.factory_of(item(), "other") is not factory


def test_the_policy_that_was_there_is_in_force_again_where_none_is_given(monkeypatch):
    in_force = ["before"]
    monkeypatch.setattr(asyncio_compat, "current_policy", lambda: in_force[-1])
    monkeypatch.setattr(asyncio_compat, "_set", in_force.append)
    known, policy = Policies(), Policy()
    known.given(item(), "definition", policy)
    known.come_to(item(), "definition")
    known.come_to(item(), None)
    known.come_to(item(), None)
    assert in_force == ["before", policy, policy, "before"]


def test_what_is_not_written_is_as_in_pytest_asyncio():
    ownership, warned = ownership_of(Config(), {})
    assert (ownership.asyncio_mode, ownership.test_scope, ownership.fixture_scope) == ("strict", Scope.FUNCTION, None)
    assert ownership.asyncio_config.is_lenient
    assert warned == []


def test_what_is_written_is_taken():
    written = {
        "asyncio_mode": "auto",
        "asyncio_debug": "true",
        "asyncio_default_test_loop_scope": "module",
        "asyncio_default_fixture_loop_scope": "session",
    }
    ownership, warned = ownership_of(Config(), written)
    assert (ownership.asyncio_mode, ownership.test_scope, ownership.fixture_scope) == (
        "auto",
        Scope.MODULE,
        Scope.SESSION,
    )
    assert ownership.asyncio_config.loop_debug is True
    assert ownership.config.loop_debug is None
    assert warned == []


def test_of_two_spellings_asyncunits_own_wins_and_what_differs_is_said():
    config = Config().merged({"loop_scope": Scope.CLASS, "mode": "auto"}, "pyproject.toml")
    ownership, warned = ownership_of(config, {"asyncio_default_test_loop_scope": "module", "asyncio_mode": "auto"})
    assert (ownership.test_scope, ownership.asyncio_mode) == (Scope.CLASS, "auto")
    [warning] = warned
    assert isinstance(warning, AsyncUnitWarning)
    assert "pyproject.toml says loop_scope = class, and asyncio_default_test_loop_scope says module" in str(warning)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"asyncio_mode": "automatic"}, "'automatic' is not a valid asyncio_mode. Valid modes: auto, strict."),
        ({"asyncio_default_test_loop_scope": "x"}, "Valid scopes are: function, class, module, package, session."),
        ({"asyncio_default_fixture_loop_scope": "x"}, "Valid scopes are: function, class, module, package, session."),
    ],
)
def test_a_value_that_pytest_asyncio_does_not_know_is_an_error(written, message):
    with pytest.raises(ConfigurationError, match="is not a valid") as caught:
        check(written)
    assert message in str(caught.value)
    check({"asyncio_default_fixture_loop_scope": "fixture-scope"})


@pytest.mark.parametrize(
    ("options", "marks", "expected"),
    [
        ({}, [], None),
        ({}, [mark()], "asyncunit"),
        ({}, [mark("asyncio")], "asyncio"),
        ({}, [mark(), mark("asyncio")], "asyncunit"),
        ({"config": Config(mode="auto")}, [], "asyncunit"),
        ({"config": Config(mode="auto")}, [mark("anyio")], None),
        ({"config": Config(mode="auto")}, [mark("asyncio")], "asyncio"),
        ({"asyncio_mode": "auto"}, [], "asyncio"),
        ({"is_asyncio_active": True}, [mark("asyncio")], None),
        ({"is_asyncio_active": True, "asyncio_mode": "auto", "config": Config(mode="auto")}, [], None),
        ({"is_asyncio_active": True, "config": Config(mode="auto")}, [], "asyncunit"),
        ({"is_asyncio_active": True, "asyncio_mode": "auto"}, [mark(), mark("asyncio")], "asyncunit"),
    ],
)
def test_each_function_belongs_to_one_plugin(options, marks, expected):
    assert ownership(**options).take({each.name for each in marks}, coroutine_function) == expected


def test_what_both_plugins_are_told_to_take_is_an_error():
    with pytest.raises(DefinitionError, match="marked both asyncunit and asyncio, and pytest-asyncio is active"):
        ownership(is_asyncio_active=True).take({"asyncunit", "asyncio"}, coroutine_function)


def test_a_sync_function_is_taken_only_where_it_is_marked():
    assert ownership(config=Config(mode="auto")).take(set(), ownership) is None
    assert ownership().take({"asyncunit"}, ownership) == "asyncunit"
