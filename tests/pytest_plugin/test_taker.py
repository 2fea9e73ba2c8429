import pytest

from asyncunit import DefinitionError
from asyncunit.config.settings import Config
from tests.pytest_plugin.test_function_plans import coroutine_function, mark, taker


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
        ({"peer_mode": "auto"}, [], "asyncio"),
        ({"is_peer_active": True}, [mark("asyncio")], None),
        ({"is_peer_active": True, "peer_mode": "auto", "config": Config(mode="auto")}, [], None),
        ({"is_peer_active": True, "config": Config(mode="auto")}, [], "asyncunit"),
        ({"is_peer_active": True, "peer_mode": "auto"}, [mark(), mark("asyncio")], "asyncunit"),
    ],
)
def test_each_function_belongs_to_one_plugin(options, marks, expected):
    assert taker(**options).take({each.name for each in marks}, coroutine_function) == expected


def test_what_both_plugins_are_told_to_take_is_an_error():
    with pytest.raises(DefinitionError, match="marked both asyncunit and asyncio, and pytest-asyncio is active"):
        taker(is_peer_active=True).take({"asyncunit", "asyncio"}, coroutine_function)


def test_a_sync_function_is_taken_only_where_it_is_marked():
    assert taker(config=Config(mode="auto")).take(set(), taker) is None
    assert taker().take({"asyncunit"}, taker) == "asyncunit"
