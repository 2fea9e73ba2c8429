import pytest

from asyncunit import DefinitionError
from asyncunit.config.settings import Config
from tests.pytest_plugin.test_function_plans import coroutine_function, mark, ownership


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
