"""The decorator, and what is in force where several say something."""

import asyncio

import pytest

import asyncunit
from asyncunit import ConfigurationError, Scope
from asyncunit.config import KEYS, SETTINGS, VARIABLES
from asyncunit.config.settings import (
    CHECKS,
    Check,
    Config,
    Unavailable,
    choose_factories,
    parse,
    settings,
    settings_of,
    settings_of_module,
)
from tests.support import module_of


def parsed(key, value):
    return parse({key: value}, "here")[key]


NONE = {
    "background_tasks": (),
    "left_open": (),
    "loop_debug": None,
    "loop_factories": None,
    "loop_factory": None,
    "timeout": None,
}


@pytest.mark.parametrize("value", [None, "none", "None", "", " "])
@pytest.mark.parametrize("key", NONE)
def test_none_is_written_as_that_word_or_as_nothing_for_each_key_that_may_be_none(key, value):
    assert parsed(key, value) == NONE[key]


@pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), (0.5, 0.5), ("2.5", 2.5)])
def test_a_timeout_is_a_number_of_seconds(value, seconds):
    assert parsed("timeout", value) == seconds


@pytest.mark.parametrize("value", [0, -1, "soon", True, "inf", float("nan"), [5]])
def test_any_other_timeout_is_an_error(value):
    with pytest.raises(ConfigurationError) as caught:
        parsed("timeout", value)
    assert str(caught.value) == f"here: timeout is {value!r}; expected a number of seconds above 0, or 'none'."


@pytest.mark.parametrize(
    ("value", "checks"),
    [
        ("all", set(CHECKS) - {"slow_callbacks"}),
        ("all slow_callbacks", CHECKS),
        (["all"], set(CHECKS) - {"slow_callbacks"}),
        ([], ()),
        ("", ()),
        (None, ()),
        ("leaked_tasks", ["leaked_tasks"]),
        ("leaked_tasks, slow_callbacks", ["leaked_tasks", "slow_callbacks"]),
        ("\nleaked_tasks\nslow_callbacks\n", ["leaked_tasks", "slow_callbacks"]),
        (("leaked_tasks",), ["leaked_tasks"]),
        ({"slow_callbacks"}, ["slow_callbacks"]),
    ],
)
def test_fail_on_is_a_list_of_checks_or_all_or_empty(value, checks):
    assert parsed("fail_on", value) == set(checks)


def test_an_unknown_check_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigurationError) as caught:
        parsed("fail_on", ["leaked_task"])
    assert str(caught.value) == (
        "here: fail_on has 'leaked_task'; expected 'all', or some of unhandled_errors, leaked_tasks, "
        "unawaited_coroutines, unclosed_resources, left_callbacks, left_threads, slow_callbacks. "
        "Did you mean 'leaked_tasks'?"
    )
    with pytest.raises(ConfigurationError, match="Write 'all' alone"):
        parsed("fail_on", ["all", "leaked_tasks"])


@pytest.mark.parametrize("value", [3, True, {"leaked_tasks": True}, [3], [""]])
def test_what_is_no_list_of_texts_is_an_error(value):
    with pytest.raises(ConfigurationError, match=r"here: fail_on is .*; expected a list of unhandled_errors, "):
        parsed("fail_on", value)
    with pytest.raises(ConfigurationError, match=r"here: background_tasks is .*; expected a list of patterns, as in"):
        parsed("background_tasks", value)


def test_background_tasks_are_patterns():
    assert parsed("background_tasks", ["pymongo.*", "app.pool.*"]) == ("pymongo.*", "app.pool.*")
    assert parsed("background_tasks", "pymongo.* app.pool.*") == ("pymongo.*", "app.pool.*")


@pytest.mark.parametrize(
    ("value", "meaning"), [(True, True), (0, False), ("yes", True), ("On", True), ("FALSE", False), ("0", False)]
)
def test_a_boolean_is_spelled_as_configparser_spells_it(value, meaning):
    assert parsed("loop_debug", value) is meaning


@pytest.mark.parametrize(("value", "hint"), [("ture", " Did you mean 'true'?"), ("maybe", ""), (2, ""), (1.5, "")])
def test_any_other_boolean_is_an_error_that_names_the_nearest(value, hint):
    with pytest.raises(ConfigurationError) as caught:
        parsed("loop_debug", value)
    assert str(caught.value) == (
        f"here: loop_debug is {value!r}; expected one of 1, yes, true, on, 0, no, false, off; or 'none'.{hint}"
    )


def test_the_mode_is_strict_or_auto():
    assert parsed("mode", "auto") == "auto"
    with pytest.raises(ConfigurationError) as caught:
        parsed("mode", "Atuo")
    assert str(caught.value) == "here: mode is 'Atuo'; expected 'strict' or 'auto'. Did you mean 'auto'?"


@pytest.mark.parametrize("factory", [3, asyncio.SelectorEventLoop.run_forever, lambda selector: None])
def test_a_factory_that_cannot_be_called_without_arguments_is_an_error(factory):
    with pytest.raises(ConfigurationError, match=r"loop_factory is .*(expected a callable|requires the parameter)"):
        parsed("loop_factory", factory)


def test_a_callable_that_tells_nothing_of_its_parameters_is_taken():
    assert parsed("loop_factory", type) is type


@pytest.mark.parametrize(
    "value",
    [
        {"one": asyncio.new_event_loop, "two": "asyncio:SelectorEventLoop"},
        "one=asyncio:new_event_loop, two=asyncio:SelectorEventLoop",
    ],
)
def test_several_loop_factories_have_names(value):
    factories = {"one": asyncio.new_event_loop, "two": asyncio.SelectorEventLoop}
    assert parsed("loop_factories", value) == factories


def test_of_configured_loop_factories_there_are_but_the_names():
    assert parsed("loop_factories", "one, two") == parsed("loop_factories", ["one", "two"]) == ("one", "two")


def test_in_the_place_of_a_loop_factory_that_cannot_be_imported_stands_the_reason():
    factory = parsed("loop_factories", {"gone": "no_such_module:loop"})["gone"]
    assert factory == (
        "here: loop_factories: gone: 'no_such_module:loop' cannot be imported: No module named 'no_such_module'"
    )
    assert isinstance(factory, Unavailable)
    again = parsed("loop_factories", {"gone": factory})["gone"]
    assert again is factory


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("one=asyncio:new_event_loop two", r"where 'two' has no factory; expected loop factories by name"),
        (["one", "one"], r"expected loop factories by name.*each once\."),
        ([], r"expected loop factories by name.*each once\."),
        ({}, r"is {}; expected loop factories by name"),
        ({3: asyncio.new_event_loop}, r"expected loop factories by name"),
        (3, r"is 3; expected loop factories by name"),
        ("one=", r"loop_factories: one is ''; expected a callable, or its name"),
        ({"one": None}, r"loop_factories: one is None; expected a callable, or its name"),
        ({"one": "asyncio:no_such_loop"}, r"one is 'asyncio:no_such_loop', which cannot be imported"),
    ],
)
def test_what_does_not_say_what_each_loop_factory_is_is_an_error(value, message):
    with pytest.raises(ConfigurationError, match=message):
        parsed("loop_factories", value)


def test_loop_factories_are_chosen_by_name_and_one_that_is_not_there_is_told_with_those_that_are():
    given = {"one": asyncio.new_event_loop, "two": asyncio.SelectorEventLoop}
    missing = "Loop factory 'three' is not available. Available factories: one, two."
    assert choose_factories(["two", "three"], given) == {"two": asyncio.SelectorEventLoop, "three": missing}


@pytest.mark.parametrize("given", [None, {}, ("one",)])
def test_where_no_loop_factory_is_there_none_can_be_chosen(given):
    [reason] = choose_factories(["one"], given).values()
    assert reason == "Loop factory 'one' is not available. Available factories: none."
    assert isinstance(reason, Unavailable)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_is_the_text_that_users_write_and_messages_show(check):
    assert check == str(check) == check.name.lower()
    assert repr(check) == repr(str(check))
    assert f"{check}" == check.name.lower()


def test_the_checks_stand_in_the_order_in_which_they_are_documented():
    assert list(Check) == [
        "unhandled_errors",
        "leaked_tasks",
        "unawaited_coroutines",
        "unclosed_resources",
        "left_callbacks",
        "left_threads",
        "slow_callbacks",
    ]


def test_a_clock_is_real_or_virtual():
    assert [parsed("clock", value) for value in ("real", "virtual")] == ["real", "virtual"]
    with pytest.raises(
        ConfigurationError, match=r"here: clock is 'Virtual'; expected 'real' or 'virtual'\. .*'virtual'\?"
    ):
        parsed("clock", "Virtual")
    with pytest.raises(ConfigurationError, match=r"here: clock is 7; expected"):
        parsed("clock", 7)
    assert parsed("clock_quiet", "0.05") == 0.05


def new_loop():
    return asyncio.SelectorEventLoop()


def test_the_reason_for_a_value_is_where_it_is_configured():
    config = Config().merged({"timeout": 5}, "setup.cfg")
    assert config.reason("timeout") == "configured in setup.cfg"
    assert config.reason("loop_scope") == "by default"


def test_settings_of_a_class_are_inherited_key_by_key():
    @settings(loop_debug=True)
    class Base:
        pass

    class Derived(Base):
        pass

    @settings(loop_debug=False)
    class Other(Derived):
        pass

    assert settings_of(Derived) == {"loop_debug": True}
    assert settings_of(Other) == {"loop_debug": False}
    assert settings_of(Base) == {"loop_debug": True}


def test_settings_of_a_function_are_its_own():
    @settings(loop_debug=True)
    def function():
        pass

    assert settings_of(function) == {"loop_debug": True}
    assert settings_of(new_loop) == {}


def test_settings_set_the_two_class_attributes():
    @settings(loop_scope="module", loop_factory=new_loop)
    class Example:
        pass

    assert Example.loop_scope is Scope.MODULE
    assert Example.loop_factory is new_loop
    assert settings_of(Example) == {}


def test_settings_that_contradict_a_class_attribute_are_an_error():
    with pytest.raises(ConfigurationError, match="says loop_scope = 'class' and .*write one of the two"):

        @settings(loop_scope="module")
        class Example:
            loop_scope = "class"


def test_settings_refuse_an_unknown_key_and_offer_those_that_they_take():
    with pytest.raises(ConfigurationError) as caught:
        settings(mod="auto")
    assert str(caught.value) == (
        f"asyncunit.settings(...): there is no key 'mod'; expected one of {', '.join(SETTINGS)}."
    )
    with pytest.raises(ConfigurationError, match=r"settings\(\.\.\.\): mode is for the whole run"):
        settings(mode="auto")


def test_a_method_cannot_have_a_loop_of_its_own():
    with pytest.raises(ConfigurationError, match=r"Example\.test_x has the setting loop_scope: "):

        class Example(asyncunit.AsyncTestCase):
            @settings(loop_scope="class")
            async def test_x(self):
                pass


def test_a_module_says_its_settings_by_a_name():
    with module_of("asyncunit_settings = asyncunit.settings(loop_debug=True)") as module:
        assert settings_of_module(module.__name__) == {"loop_debug": True}
    with module_of("asyncunit_settings = {'loop_debug': True}", "wrong"):
        with pytest.raises(ConfigurationError, match=r"wrong\.asyncunit_settings is {.*expected asyncunit\.settings"):
            settings_of_module("wrong")
    assert settings_of_module("no.such.module") == {}


def test_each_key_has_a_field_of_the_configuration():
    fields = Config.__annotations__.keys() - {"sources", "is_lenient"}
    assert fields == {*KEYS, *VARIABLES}


def test_the_same_loops_with_the_same_clock_are_one_thing():
    virtual, quiet = Config(clock="virtual"), Config(clock="virtual", clock_quiet=0.5)
    assert Config().clocked(dict) is dict
    assert virtual.clocked(dict) is virtual.clocked(dict)
    assert virtual.clocked(dict) is not virtual.clocked(None)
    assert virtual.clocked(dict) is not quiet.clocked(dict)
    assert repr(virtual.clocked(dict)) == "dict with a virtual clock"
    assert repr(quiet.clocked(None)) == "asyncio with a virtual clock and clock_quiet = 0.5"
