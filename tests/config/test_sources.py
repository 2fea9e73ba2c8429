"""Files, the environment, and what a runner adds: which of them counts, and what is said of a mistake."""

import asyncio

import pytest

from asyncunit import ConfigurationError, Scope
from asyncunit.config import KEYS, VARIABLES
from asyncunit.config.settings import Config
from asyncunit.config.sources import load


def new_loop():
    return asyncio.SelectorEventLoop()


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_without_any_file_the_defaults_are_in_force(tmp_path):
    assert load(tmp_path, {}) == Config()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.asyncunit]\nloop_scope = "module"\nloop_debug = true\n'),
        ("setup.cfg", "[asyncunit]\nloop_scope = module\nloop_debug = on\n"),
    ],
)
def test_both_files_say_the_same_thing(write, name, text):
    directory = write(name, text)
    found = load(directory, {})
    assert (found.loop_scope, found.loop_debug) == (Scope.MODULE, True)
    assert found.sources == dict.fromkeys(["loop_scope", "loop_debug"], str(directory / name))


def test_a_loop_factory_is_written_as_module_and_callable(write):
    directory = write("setup.cfg", "[asyncunit]\nloop_factory = tests.config.test_sources:new_loop\n")
    assert load(directory, {}).loop_factory is new_loop


def test_files_are_looked_for_from_the_directory_upwards(write):
    directory = write("pyproject.toml", '[tool.asyncunit]\nloop_scope = "class"\n')
    write("deep/down/setup.cfg", "[metadata]\nname = asyncunit-user\n")
    assert load(directory / "deep" / "down", {}).loop_scope is Scope.CLASS


def test_the_nearest_file_is_the_only_one_that_counts(write):
    directory = write("pyproject.toml", '[tool.asyncunit]\nloop_scope = "class"\nloop_debug = true\n')
    write("deep/setup.cfg", "[asyncunit]\nloop_scope = package\n")
    found = load(directory / "deep", {})
    assert (found.loop_scope, found.loop_debug) == (Scope.PACKAGE, None)


def test_two_files_that_both_configure_asyncunit_are_an_error(write):
    write("pyproject.toml", "[tool.asyncunit]\n")
    directory = write("setup.cfg", "[asyncunit]\n")
    with pytest.raises(ConfigurationError) as caught:
        load(directory, {})
    assert str(caught.value) == (
        f"{directory / 'pyproject.toml'} has a [tool.asyncunit] table and {directory / 'setup.cfg'} has an "
        f"[asyncunit] section; keep one of the two."
    )


def test_the_environment_comes_before_the_files(write):
    directory = write("setup.cfg", "[asyncunit]\nloop_scope = module\n")
    found = load(directory, {"ASYNCUNIT_LOOP_SCOPE": "session", "ASYNCUNIT_LOOP_DEBUG": "0", "PATH": "/bin"})
    assert (found.loop_scope, found.loop_debug) == (Scope.SESSION, False)
    assert found.sources["loop_scope"] == "ASYNCUNIT_LOOP_SCOPE"


@pytest.mark.parametrize("word", ["none", ""])
def test_the_environment_sets_back_to_none_what_a_file_says(write, word):
    directory = write(
        "pyproject.toml",
        "[tool.asyncunit]\nloop_debug = true\nloop_factory = 'tests.config.test_sources:new_loop'\ntimeout = 5\n"
        "background_tasks = ['pool.*']\nloop_factories = {own = 'tests.config.test_sources:new_loop'}\n",
    )
    names = ("LOOP_DEBUG", "LOOP_FACTORY", "TIMEOUT", "BACKGROUND_TASKS", "LOOP_FACTORIES")
    found = load(directory, {f"ASYNCUNIT_{name}": word for name in names})
    assert found == Config(sources=found.sources)


def test_the_environment_of_the_process_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("ASYNCUNIT_LOOP_SCOPE", "package")
    assert load(tmp_path).loop_scope is Scope.PACKAGE


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "setup.cfg",
            "[asyncunit]\nloop_scpe = module\n",
            f"{{path}}:2: there is no key 'loop_scpe'; expected one of {', '.join(KEYS)}. Did you mean 'loop_scope'?",
        ),
        (
            "pyproject.toml",
            "[tool.asyncunit]\nloop_scope = 3\n",
            "{path}:2: loop_scope is 3; expected one of 'function', 'class', 'module', 'package', 'session'.",
        ),
        (
            "setup.cfg",
            "[asyncunit]\nloop_debug = maybe\n",
            "{path}:2: loop_debug is 'maybe'; expected one of 1, yes, true, on, 0, no, false, off; or 'none'.",
        ),
        (
            "setup.cfg",
            "[asyncunit]\nloop_factory = uvloop.new_event_loop\n",
            "{path}:2: loop_factory is 'uvloop.new_event_loop'; expected the name of a callable, written "
            "'package.module:callable'.",
        ),
        (
            "setup.cfg",
            "[asyncunit]\nloop_factory = no_such_module:loop\n",
            "{path}:2: loop_factory is 'no_such_module:loop', which cannot be imported: No module named "
            "'no_such_module'",
        ),
        (
            "pyproject.toml",
            "[tool]\nasyncunit = 3\n",
            "{path}: tool.asyncunit is 3; expected a table, [tool.asyncunit].",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_an_error_that_names_file_line_key_value_and_choices(write, name, text, message):
    directory = write(name, text)
    with pytest.raises(ConfigurationError) as caught:
        load(directory, {})
    assert str(caught.value) == message.format(path=directory / name)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("pyproject.toml", "[tool.pytest]\ntimeout = 0\n\n[tool.asyncunit]\nmode = 'auto'\n  timeout = 0\n", ":6"),
        ("setup.cfg", "[other]\ntimeout: 0\n[asyncunit]\nTimeout: 0\n", ":4"),
        ("pyproject.toml", "tool.asyncunit.timeout = 0\n", ""),
        ("pyproject.toml", "[tool.asyncunit]\n'timeout' = 0\n[tool.pytest]\ntimeout = 0\n", ""),
    ],
)
def test_the_line_is_that_of_the_key_in_the_table_of_asyncunits_or_is_left_out(write, name, text, line):
    directory = write(name, text)
    with pytest.raises(ConfigurationError) as caught:
        load(directory, {})
    assert str(caught.value).startswith(f"{directory / name}{line}: timeout is ")


@pytest.mark.parametrize(("name", "text"), [("pyproject.toml", "[tool.asyncunit\n"), ("setup.cfg", "x\n[asyncunit]\n")])
def test_a_file_that_cannot_be_parsed_is_an_error_that_names_it(write, name, text):
    directory = write(name, text)
    with pytest.raises(ConfigurationError, match=f"{name} is not .* valid|{name} is not valid"):
        load(directory, {})


def test_toml_that_is_nested_too_deeply_for_its_parser_is_an_error_that_names_the_file(write):
    directory = write("pyproject.toml", f"[tool.asyncunit]\nfail_on = {'[' * 100_000}")
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml is nested too deeply for Python's own TOML parser"):
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
        f"{', '.join(f'ASYNCUNIT_{key.upper()}' for key in (*KEYS, *VARIABLES))}. "
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
    with pytest.raises(ConfigurationError, match=r"setup\.cfg:2: loop_factories has 'asyncio'; expected names with"):
        load(directory, {})


def test_what_a_file_says_for_all_its_sections_is_not_for_asyncunit(write):
    directory = write("setup.cfg", "[DEFAULT]\nversion = 3\ntimeout = 3\n[asyncunit]\nloop_scope = class\n")
    assert load(directory, {}) == Config(loop_scope=Scope.CLASS, sources={"loop_scope": str(directory / "setup.cfg")})
