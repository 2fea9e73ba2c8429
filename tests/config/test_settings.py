"""The decorator, and what is in force where several say something."""

import asyncio

import pytest

import asyncunit
from asyncunit import ConfigurationError, Scope
from asyncunit.config.keys import KEYS
from asyncunit.config.settings import Config, settings, settings_of, settings_of_module
from tests.support import module_of


def new_loop():
    return asyncio.SelectorEventLoop()


def test_the_reason_for_a_value_is_where_it_is_configured():
    config = Config().merged({"timeout": 5}, "setup.cfg")
    assert config.reason("timeout") == "configured in setup.cfg"
    assert config.reason("loop_scope") == "by default"


<<<<<<< HEAD
=======
def test_the_environment_of_the_process_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("ASYNCUNIT_LOOP_SCOPE", "package")
    assert load(tmp_path).loop_scope is Scope.PACKAGE


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "setup.cfg",
            "[asyncunit]\nloop_scpe = module\n",
            "{path}: there is no key 'loop_scpe'; expected one of background_tasks, clock, clock_quiet, fail_on, "
            "loop_debug, loop_factories, loop_factory, loop_scope, mode, timeout. "
            "Did you mean 'loop_scope'?",
        ),
        (
            "pyproject.toml",
            "[tool.asyncunit]\nloop_scope = 3\n",
            "{path}: loop_scope is 3; expected one of 'function', 'class', 'module', 'package', 'session'.",
        ),
        (
            "setup.cfg",
            "[asyncunit]\nloop_debug = maybe\n",
            "{path}: loop_debug is 'maybe'; expected one of 1, yes, true, on, 0, no, false, off; or 'none'.",
        ),
        (
            "setup.cfg",
            "[asyncunit]\nloop_factory = uvloop.new_event_loop\n",
            "{path}: loop_factory is 'uvloop.new_event_loop'; expected the name of a callable, written "
            "'package.module:callable'.",
        ),
        (
            "setup.cfg",
            "[asyncunit]\nloop_factory = no_such_module:loop\n",
            "{path}: loop_factory is 'no_such_module:loop', which cannot be imported: No module named 'no_such_module'",
        ),
        (
            "pyproject.toml",
            "[tool]\nasyncunit = 3\n",
            "{path}: tool.asyncunit is 3; expected a table, [tool.asyncunit].",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_an_error_that_names_file_key_value_and_choices(write, name, text, message):
    directory = write(name, text)
    with pytest.raises(ConfigurationError) as caught:
        load(directory, {})
    assert str(caught.value) == message.format(path=directory / name)


@pytest.mark.parametrize(("name", "text"), [("pyproject.toml", "[tool.asyncunit\n"), ("setup.cfg", "x\n[asyncunit]\n")])
def test_a_file_that_cannot_be_parsed_is_an_error_that_names_it(write, name, text):
    directory = write(name, text)
    with pytest.raises(ConfigurationError, match=f"{name} is not .* valid|{name} is not valid"):
        load(directory, {})


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    (tmp_path / "setup.cfg").mkdir()
    with pytest.raises(ConfigurationError, match=r"setup\.cfg cannot be read"):
        load(tmp_path, {})


def test_other_peoples_files_are_not_looked_into(write):
    directory = write("pyproject.toml", "[tool.other\n")
    write("setup.cfg", "no configuration file at all\n")
    assert load(directory, {}) == Config()


def test_an_unknown_variable_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigurationError) as caught:
        load(environ={"ASYNCUNIT_LOOPSCOPE": "class"})
    assert str(caught.value) == (
        "environment variable ASYNCUNIT_LOOPSCOPE is not one that asyncunit knows; expected one of "
        "ASYNCUNIT_BACKGROUND_TASKS, ASYNCUNIT_CLOCK, ASYNCUNIT_CLOCK_QUIET, ASYNCUNIT_FAIL_ON, "
        "ASYNCUNIT_LOOP_DEBUG, ASYNCUNIT_LOOP_FACTORIES, ASYNCUNIT_LOOP_FACTORY, "
        "ASYNCUNIT_LOOP_SCOPE, ASYNCUNIT_MODE, ASYNCUNIT_TIMEOUT. "
        "Did you mean 'ASYNCUNIT_LOOP_SCOPE'?"
    )


def test_a_bad_value_in_the_environment_is_an_error_that_names_the_variable():
    with pytest.raises(ConfigurationError, match="environment variable ASYNCUNIT_LOOP_SCOPE: loop_scope is 'all'"):
        load(environ={"ASYNCUNIT_LOOP_SCOPE": "all"})


FACTORIES = "[asyncunit]\nloop_factories = plain=asyncio:new_event_loop gone=no_such_module:loop\n"


def test_of_the_configured_loop_factories_the_environment_chooses_by_name(write):
    directory = write("setup.cfg", FACTORIES)
    found = load(directory, {"ASYNCUNIT_LOOP_FACTORIES": "plain"})
    assert found.loop_factories == {"plain": asyncio.new_event_loop}
    assert list(load(directory, {}, options={"loop_factories": "gone"}).loop_factories) == ["gone"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FACTORIES, "expected some of plain, gone. Did you mean 'plain'?"),
        ("", "expected names with factories, as in asyncio=asyncio:new_event_loop."),
    ],
)
def test_the_name_of_a_loop_factory_that_is_not_configured_is_an_error(write, text, expected):
    directory = write("setup.cfg", text)
    with pytest.raises(ConfigurationError) as caught:
        load(directory, {"ASYNCUNIT_LOOP_FACTORIES": "plane"})
    assert str(caught.value) == (
        f"environment variable ASYNCUNIT_LOOP_FACTORIES: loop_factories has 'plane'; {expected}"
    )


def test_a_file_that_names_loop_factories_and_does_not_say_what_they_are_is_an_error(write):
    directory = write("setup.cfg", "[asyncunit]\nloop_factories = asyncio, uvloop\n")
    with pytest.raises(ConfigurationError, match=r"setup\.cfg: loop_factories has 'asyncio'; expected names with"):
        load(directory, {})


def test_what_a_file_says_for_all_its_sections_is_not_for_asyncunit(write):
    directory = write("setup.cfg", "[DEFAULT]\nversion = 3\ntimeout = 3\n[asyncunit]\nloop_scope = class\n")
    assert load(directory, {}) == Config(loop_scope=Scope.CLASS, sources={"loop_scope": str(directory / "setup.cfg")})


>>>>>>> ef1ac89 (Promise the virtual clock under both runners, and explain its errors)
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
        "asyncunit.settings(...): there is no key 'mod'; expected one of background_tasks, clock, clock_quiet, "
        "fail_on, loop_debug, loop_factories, loop_factory, loop_scope, timeout."
    )
    with pytest.raises(ConfigurationError, match=r"settings\(\.\.\.\): mode is for the whole run"):
        settings(mode="auto")


def test_a_method_cannot_have_a_loop_of_its_own():
    with pytest.raises(ConfigurationError, match=r"Example\.test_x has asyncunit\.settings\(loop_scope=\.\.\.\)"):

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
    fields = {
        field for field in Config.__dataclass_fields__ if field not in ("sources", "costly", "watches", "is_lenient")
    }
    assert fields == set(KEYS)


def test_the_same_loops_with_the_same_clock_are_one_thing():
    virtual, quiet = Config(clock="virtual"), Config(clock="virtual", clock_quiet=0.5)
    assert Config().clocked(new_loop) is new_loop
    assert virtual.clocked(new_loop) is virtual.clocked(new_loop)
    assert virtual.clocked(new_loop) is not virtual.clocked(None)
    assert virtual.clocked(new_loop) is not quiet.clocked(new_loop)
    assert repr(virtual.clocked(new_loop)) == "new_loop with a virtual clock"
    assert repr(quiet.clocked(None)) == "asyncio with a virtual clock and clock_quiet = 0.5"
