import types
from pathlib import Path

import pytest

from asyncunit import ConfigurationError, Scope
from asyncunit.config import KEYS
from asyncunit.pytest_plugin.options import ASYNCIO_KEYS, Written, add


class Parser:
    """As much of pytest's parser as is asked for."""

    def __init__(self):
        self.options, self.inis = [], []

    def getgroup(self, name, description):
        return self

    def addoption(self, name, **options):
        self.options.append(name)

    def addini(self, name, meaning, **options):
        self.inis.append(name)


@pytest.fixture
def nothing_is_set(monkeypatch):
    """No variable of the environment that says which plugins there are, or what asyncunit is to do."""
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS", *(f"ASYNCUNIT_{key.upper()}" for key in KEYS)):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_each_key_is_an_option_and_an_ini_key():
    parser = Parser()
    add(parser, with_asyncio=False)
    assert parser.options == [*(f"--asyncunit-{key.replace('_', '-')}" for key in KEYS), "--asyncunit-plan"]
    assert parser.inis == [f"asyncunit_{key}" for key in KEYS]


def test_those_of_pytest_asyncio_are_there_where_it_is_not():
    parser = Parser()
    add(parser, with_asyncio=True)
    assert {"--asyncio-mode", "--asyncio-debug"} < set(parser.options)
    assert set(ASYNCIO_KEYS) < set(parser.inis)


def written(*there, ini=(), options=(), path=Path("/")):
    """What is written where pytest's ini file and command line say this."""
    inis, said = dict(ini), dict(options)
    return Written(
        types.SimpleNamespace(
            pluginmanager=types.SimpleNamespace(get_plugin=dict.fromkeys(there, object()).get),
            rootpath=path,
            getini=inis.get,
            getoption=lambda name, default=None: said.get(name, default),
            issue_config_time_warning=lambda warning, stacklevel: said.setdefault("warned", []).append(warning),
        )
    )


def test_nothing_is_said_where_nothing_is_written(nothing_is_set):
    assert not written().says_anything
    assert written(ini={"asyncunit_timeout": "5"}).says_anything
    assert written(options={"asyncunit_fail_on": ""}).says_anything
    assert written(ini={"asyncio_mode": "auto"}).says_anything
    assert not written(ini={"asyncio_mode": ""}).says_anything
    nothing_is_set.setenv("ASYNCUNIT_TIMEOUT", "5")
    assert written().says_anything


@pytest.mark.parametrize("values", [{"ini": {"asyncunit_timeout": "soon"}}, {"options": {"asyncio_mode": "soon"}}])
def test_a_bad_value_is_an_error(nothing_is_set, tmp_path, values):
    with pytest.raises(ConfigurationError, match="'soon'"):
        written(**values, path=tmp_path).check()


def test_the_command_line_is_nearer_than_the_ini_file(nothing_is_set, tmp_path):
    there = written(ini={"asyncunit_timeout": "5"}, options={"asyncunit_timeout": "3"}, path=tmp_path)
    assert there.ownership().config.timeout == 3


def test_what_is_said_for_the_peer_counts_where_that_is_not_active(nothing_is_set, tmp_path):
    ini = {"asyncio_mode": "auto", "asyncio_default_test_loop_scope": "module"}
    ownership = written(ini=ini, path=tmp_path).ownership()
    assert (ownership.asyncio_mode, ownership.test_scope, ownership.is_asyncio_active) == ("auto", Scope.MODULE, False)
    ownership = written("asyncio", ini=ini, path=tmp_path).ownership()
    assert (ownership.asyncio_mode, ownership.test_scope, ownership.is_asyncio_active) == ("auto", Scope.FUNCTION, True)
