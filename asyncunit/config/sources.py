"""Where configuration is written: files, the environment, what a runner adds; the nearest wins."""

# Without pathlib, which takes longer to import than any module of asyncunit's, and unittest does not need.
# ruff: noqa: PTH109, PTH118, PTH120, PTH123

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from asyncunit.config import KEYS, VARIABLES
from asyncunit.config.settings import Config, LoopFactories, parse
from asyncunit.errors import ConfigurationError, did_you_mean

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

ENVIRONMENT_PREFIX = "ASYNCUNIT_"


def load(
    start: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    ini: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
) -> Config:
    """The configuration of the files nearest to ``start`` (the working directory), then the environment's.

    ``ini`` stands between the two, and ``options`` in front of all: what a runner of tests has of its own. A key is
    written there as in ``asyncunit_timeout`` and ``--asyncunit-timeout``.

    Raises ConfigurationError for an unknown key, a bad value, a file that cannot be read, and two files that
    both configure asyncunit in one directory.
    """
    config = _from_files(os.path.realpath(start or os.getcwd()))
    for key, value in (ini or {}).items():
        config = _in_front(config, {key: value}, f"asyncunit_{key}")
    for variable, key, value in _environment(environ):
        known = (*KEYS, *VARIABLES)
        config = _in_front(config, {key: value}, variable, f"environment variable {variable}", known)
    for key, value in (options or {}).items():
        config = _in_front(config, {key: value}, f"--asyncunit-{key.replace('_', '-')}")
    return config


def _from_files(start: str) -> Config:
    """What the files say that are nearest to ``start``."""
    for directory in _upwards(start):
        found = [(path, table) for path, table in _tables(directory) if table is not None]
        if len(found) > 1:
            raise ConfigurationError(
                f"{found[0][0]} has a [tool.asyncunit] table and {found[1][0]} has an [asyncunit] section; "
                f"keep one of the two."
            )
        for path, table in found:
            return _of_file(path, table)
    return Config()


def _upwards(directory: str) -> Iterator[str]:
    """The directory, and those around it."""
    while directory != (around := os.path.dirname(directory)):
        yield directory
        directory = around
    yield directory


def _of_file(path: str, table: Mapping[str, object]) -> Config:
    """What a file says; an error begins with the line."""
    config = Config()
    text = _read(path)
    for key, value in table.items():
        config = _in_front(config, {key: value}, path, f"{path}{_line_of(key, text)}")
    return config


def _line_of(key: str, text: str) -> str:
    """The line that has a key, as it stands behind a path; nothing where it is written in a form of its own."""
    in_table = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            in_table = line.strip() in ("[tool.asyncunit]", "[asyncunit]")
        elif in_table and re.match(rf"\s*{re.escape(key)}\s*[=:]", line, re.IGNORECASE):
            return f":{number}"
    return ""


def _in_front(
    config: Config, written: Mapping[str, object], source: str, where: str = "", known: Sequence[str] = KEYS
) -> Config:
    """The configuration with what is written at ``source`` in front; ``where`` is what an error says of that."""
    values = parse(written, where or source, known)
    if type(names := values.get("loop_factories")) is tuple:
        _check_names(names, config.loop_factories, where or source)
    return config.merged(values, source)


def _check_names(names: Iterable[str], configured: LoopFactories | None, where: str) -> None:
    """Raise ConfigurationError for the name of a loop factory that is not configured: each test would be skipped."""
    known = list(configured or ())
    expected = f"some of {', '.join(known)}" if known else "names with factories, as in asyncio=asyncio:new_event_loop"
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"{where}: loop_factories has {name!r}; expected {expected}.{did_you_mean(name, known)}"
            )


def _tables(directory: str) -> Iterator[tuple[str, Mapping[str, object] | None]]:
    pyproject = os.path.join(directory, "pyproject.toml")
    if "asyncunit" in (text := _read(pyproject)):
        yield pyproject, _toml_table(pyproject, text)
    setup = os.path.join(directory, "setup.cfg")
    if "[asyncunit]" in (text := _read(setup)):
        yield setup, _ini_section(setup, text)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _toml_table(path: str, text: str) -> Mapping[str, object] | None:
    import tomllib

    try:
        tool = tomllib.loads(text).get("tool")
        table = tool.get("asyncunit") if isinstance(tool, dict) else None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except RecursionError:  # its frames are many, and say nothing
        raise ConfigurationError(
            f"{path} is nested too deeply for Python's own TOML parser, so asyncunit cannot read it. Take some of the "
            f"brackets out."
        ) from None
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.asyncunit is {table!r}; expected a table, [tool.asyncunit].")
    return table


def _ini_section(path: str, text: str) -> Mapping[str, object] | None:
    import configparser

    # No section can have an empty name: what [DEFAULT] says is not for us alone, and would be taken for our keys.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text, source=path)
    except configparser.Error as error:
        raise ConfigurationError(f"{path} is not a valid configuration file: {error}") from error
    return dict(parser["asyncunit"]) if parser.has_section("asyncunit") else None


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The variables that are asyncunit's, with the keys that they stand for and their values."""
    for variable, value in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if key not in KEYS and key not in VARIABLES:
                known = [ENVIRONMENT_PREFIX + key.upper() for key in (*KEYS, *VARIABLES)]
                raise ConfigurationError(
                    f"environment variable {variable} is not one that asyncunit knows; expected one of "
                    f"{', '.join(known)}.{did_you_mean(variable, known)}"
                )
            yield variable, key, value
