"""The configuration: read from where it may be written, validated, merged, frozen."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from asyncunit.errors import ConfigurationError, did_you_mean
from asyncunit.keys import KEYS, SETTINGS
from asyncunit.parsing import Check, LoopFactories, LoopFactory, choose_factories, parse
from asyncunit.scopes import Scope
from asyncunit.signatures import class_name

__all__ = ["Config", "load", "parse_settings", "settings", "settings_of", "settings_of_module"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Target = TypeVar("Target", bound=Callable[..., Any])

ENVIRONMENT_PREFIX = "ASYNCUNIT_"
# Where `settings` leaves the values of a class or a method.
ATTRIBUTE = "__asyncunit_settings__"
# All that is async about a class runs on one loop, so these are not for one of its methods.
CLASS_ATTRIBUTES = ("loop_scope", "loop_factory")
# The checks that cost nothing, and are made whether ``fail_on`` names them or not.
ALWAYS_ON = frozenset({Check.UNHANDLED_ERRORS, Check.LEAKED_TASKS})


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The values in force at one place: for a run, a module, a class or a test.

    ``loop_scope`` is the least loop scope of a class that sets none. ``loop_factory`` makes the loops; None
    is asyncio's own loop. ``loop_debug`` is asyncio's debug mode; None leaves it to ``PYTHONASYNCIODEBUG`` and
    ``-X dev``. ``timeout`` is what each step may take, in seconds; None is for ever. ``fail_on`` names the checks that
    fail a test; ``background_tasks`` are patterns of the coroutines whose tasks may live as long as their loop.
    ``loop_factories`` are several by name, each test being run once with each; ``mode`` is "auto" where every async
    test is taken, and else "strict". ``sources`` says for each key that was written somewhere where that is.

    ``is_lenient`` is true where what is found only warns, even where warnings are errors. ``costly`` are those checks
    of ``fail_on`` that cost something, and are made only there. ``watches`` is true where anything is to be done while
    a loop runs.
    """

    loop_scope: Scope = Scope.FUNCTION
    loop_factory: LoopFactory | None = None
    loop_debug: bool | None = None
    timeout: float | None = None
    fail_on: frozenset[Check] = frozenset({Check.UNHANDLED_ERRORS})
    background_tasks: tuple[str, ...] = ()
    loop_factories: LoopFactories | None = None
    mode: str = "strict"
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_lenient: bool = False
    costly: frozenset[Check] = dataclasses.field(init=False, compare=False)
    watches: bool = dataclasses.field(init=False, compare=False)

    def __post_init__(self) -> None:
        costly = self.fail_on - ALWAYS_ON
        object.__setattr__(self, "costly", costly)
        object.__setattr__(self, "watches", bool(costly) or self.timeout is not None or self.loop_debug is not None)

    def merged(self, values: Mapping[str, Any], source: str) -> Config:
        """This configuration with ``values``, which are written at ``source``, in front."""
        if not values:
            return self
        sources = {**self.sources, **dict.fromkeys(values, source)}
        if type(names := values.get("loop_factories")) is tuple:
            values = {**values, "loop_factories": choose_factories(names, self.loop_factories)}
        return dataclasses.replace(self, **values, sources=sources)

    def leniently(self) -> Config:
        """This configuration, but that what is found only warns."""
        return dataclasses.replace(self, fail_on=frozenset(), is_lenient=True)

    def reason(self, key: str) -> str:
        """Why a key has its value, in words that fit into a sentence."""
        return f"configured in {self.sources[key]}" if key in self.sources else "by default"


class settings:  # noqa: N801 - used as a decorator, and named as one
    """Configuration for one class, or for one method: ``@asyncunit.settings(loop_debug=True)``.

    As the value of ``asyncunit_settings`` at the top of a module it is for the module. On a class it is
    inherited as attributes are, and its ``loop_scope`` and ``loop_factory`` become the class attributes of
    that name; a method cannot have these two. Raises ConfigurationError for an unknown key or a bad value.
    """

    def __init__(self, **values: object) -> None:
        self.values = parse_settings(values, "asyncunit.settings(...)")

    def __call__(self, target: Target, /) -> Target:
        """Attach the values to a class or a function, and return it."""
        values = self.values
        if isinstance(target, type):
            for key in CLASS_ATTRIBUTES:
                self._set_attribute(target, key)
            values = {key: value for key, value in values.items() if key not in CLASS_ATTRIBUTES}
        setattr(target, ATTRIBUTE, {**vars(target).get(ATTRIBUTE, {}), **values})
        return target

    def _set_attribute(self, cls: type, key: str) -> None:
        if key not in self.values:
            return
        written = vars(cls).get(key)
        if written is not None and parse({key: written}, cls.__qualname__)[key] != self.values[key]:
            raise ConfigurationError(
                f"{class_name(cls)} says {key} = {written!r} and "
                f"asyncunit.settings({key}={self.values[key]!r}); write one of the two."
            )
        setattr(cls, key, self.values[key])


def parse_settings(values: Mapping[str, object], where: str) -> dict[str, Any]:
    """The meaning of what is said of a single test, class or module; ``where`` begins the message of an error."""
    if "mode" in values:
        raise ConfigurationError(f"{where}: mode is for the whole run. Write it in the configuration.")
    return parse(values, where, SETTINGS)


def settings_of(target: object) -> Mapping[str, Any]:
    """What ``settings`` says of a class (its bases included) or a function."""
    if not issubclass(type(target), type):  # isinstance() would wake a lazy object
        is_function = type(target) is types.FunctionType
        own: Mapping[str, Any] = (
            vars(target).get(ATTRIBUTE, {}) if is_function else inspect.getattr_static(target, ATTRIBUTE, {})
        )
        return own
    merged: dict[str, Any] = {}
    for base in reversed(inspect.getmro(cast("type", target))):
        merged |= vars(base).get(ATTRIBUTE, {})
    return merged


def settings_of_module(name: str) -> Mapping[str, Any]:
    """What the module's ``asyncunit_settings`` says."""
    found = getattr(sys.modules.get(name), "asyncunit_settings", None)
    if found is None:
        return {}
    if not isinstance(found, settings):
        raise ConfigurationError(
            f"{name}.asyncunit_settings is {found!r}; expected asyncunit.settings(...), as in: "
            f"asyncunit_settings = asyncunit.settings(loop_scope='module')"
        )
    return found.values


def load(
    start: Path | None = None,
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
    config = _from_files((start or Path.cwd()).resolve())
    for key, value in (ini or {}).items():
        config = _in_front(config, {key: value}, f"asyncunit_{key}")
    for variable, key, value in _environment(environ):
        config = _in_front(config, {key: value}, variable, "environment variable ")
    for key, value in (options or {}).items():
        config = _in_front(config, {key: value}, f"--asyncunit-{key.replace('_', '-')}")
    return config


def _from_files(start: Path) -> Config:
    """What the files say that are nearest to ``start``."""
    for directory in (start, *start.parents):
        found = [(path, table) for path, table in _tables(directory) if table is not None]
        if len(found) > 1:
            raise ConfigurationError(
                f"{found[0][0]} has a [tool.asyncunit] table and {found[1][0]} has an [asyncunit] section; "
                f"keep one of the two."
            )
        for path, table in found:
            return _in_front(Config(), table, str(path))
    return Config()


def _in_front(config: Config, written: Mapping[str, object], source: str, kind: str = "") -> Config:
    """The configuration with what is written at ``source`` in front; ``kind`` says in an error what that is."""
    values = parse(written, f"{kind}{source}")
    if type(names := values.get("loop_factories")) is tuple:
        _check_names(names, config.loop_factories, f"{kind}{source}")
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


def _tables(directory: Path) -> Iterator[tuple[Path, Mapping[str, object] | None]]:
    pyproject = directory / "pyproject.toml"
    if "asyncunit" in (text := _read(pyproject)):
        yield pyproject, _toml_table(pyproject, text)
    setup = directory / "setup.cfg"
    if "[asyncunit]" in (text := _read(setup)):
        yield setup, _ini_section(setup, text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _toml_table(path: Path, text: str) -> Mapping[str, object] | None:
    import tomllib

    try:
        tool = tomllib.loads(text).get("tool")
        table = tool.get("asyncunit") if isinstance(tool, dict) else None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.asyncunit is {table!r}; expected a table, [tool.asyncunit].")
    return table


def _ini_section(path: Path, text: str) -> Mapping[str, object] | None:
    import configparser

    # No section can have an empty name: what [DEFAULT] says is not for us alone, and would be taken for our keys.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        raise ConfigurationError(f"{path} is not a valid configuration file: {error}") from error
    return dict(parser["asyncunit"]) if parser.has_section("asyncunit") else None


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The variables that are asyncunit's, with the keys that they stand for and their values."""
    for variable, value in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if key not in KEYS:
                known = [ENVIRONMENT_PREFIX + key.upper() for key in KEYS]
                raise ConfigurationError(
                    f"environment variable {variable} is not one that asyncunit knows; expected one of "
                    f"{', '.join(known)}.{did_you_mean(variable, known)}"
                )
            yield variable, key, value
