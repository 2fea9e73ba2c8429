"""The decorator, and what is in force where several say something."""

import asyncio

import pytest

import asyncunit
from asyncunit import ConfigurationError, Scope
from asyncunit.config.keys import KEYS, SETTINGS, VARIABLES
from asyncunit.config.settings import Config, settings, settings_of, settings_of_module
from tests.support import module_of


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
