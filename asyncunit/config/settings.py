"""What is configured: what a written value means, all of it merged, and `settings`, which says it in code.

What cannot be meant is an error with the fix.
"""

from __future__ import annotations

import enum
import inspect
import math
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from asyncunit.config import CLOCKS, KEYS, MODES, SETTINGS
from asyncunit.errors import ConfigurationError, did_you_mean
from asyncunit.introspection.functions import class_name, required_parameters
from asyncunit.introspection.tracebacks import at_users_line
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Check(enum.StrEnum):
    """What can be looked for when a test or a wider scope ends, by the names that users write."""

    UNHANDLED_ERRORS = enum.auto()
    LEAKED_TASKS = enum.auto()
    UNAWAITED_COROUTINES = enum.auto()
    UNCLOSED_RESOURCES = enum.auto()
    LEFT_CALLBACKS = enum.auto()
    LEFT_THREADS = enum.auto()
    SLOW_CALLBACKS = enum.auto()

    def __repr__(self) -> str:
        return repr(self.value)  # as a message shows what was written


CHECKS = tuple(Check)

# What "all" means: the checks that judge the code. How long a callback takes is the machine's doing as well.
ALL = frozenset(CHECKS) - {Check.SLOW_CALLBACKS}


LoopFactory = Callable[[], "AbstractEventLoop"]


class Unavailable(str):
    """In the place of a loop factory that cannot be had: the reason, with which its tests are skipped."""


# By the names that stand in the ids of tests; or only the names, of those that are configured.
LoopFactories = Mapping[str, LoopFactory | Unavailable] | tuple[str, ...]


def _is_none(value: object) -> bool:
    """Whether it says that there is none, as a text does by that word or by being empty."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "none"))


def parse_loop_factory(value: object, where: str) -> LoopFactory | None:
    """A callable that makes a loop, itself or named as "package.module:callable"; or none."""
    if _is_none(value):
        return None
    factory: Any = value
    if isinstance(value, str):
        import pkgutil

        if ":" not in value:
            raise ConfigurationError(
                f"{where} is {value!r}; expected the name of a callable, written 'package.module:callable'."
            )
        try:
            factory = pkgutil.resolve_name(value)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigurationError(f"{where} is {value!r}, which cannot be imported: {error}") from error
    if not callable(factory):
        raise ConfigurationError(
            f"{where} is {factory!r}; expected a callable that takes no argument and returns a new event loop."
        )
    if required := required_parameters(factory):
        raise ConfigurationError(
            f"{where} is {factory!r}, which requires the parameter {required[0]!r}; a loop factory is called "
            f"without any. For a factory that stands in a class, write @staticmethod above it."
        )
    made: LoopFactory = factory
    return made


def parse_loop_factories(value: object, where: str) -> LoopFactories | None:
    """Loop factories by name: a mapping, a text such as "a=package.module:callable"; or configured names; or none."""
    expected = (
        "loop factories by name, as in {'asyncio': asyncio.new_event_loop}, in a text "
        "'asyncio=asyncio:new_event_loop'; or a list of names that are configured"
    )
    if _is_none(value):
        return None
    if isinstance(value, str) and "=" in value:
        pairs = [word.partition("=") for word in _words(value, where, expected)]
        if wrong := next((word for word, equals, _ in pairs if not equals), None):
            raise ConfigurationError(f"{where} is {value!r}, where {wrong!r} has no factory; expected {expected}.")
        value = {name: factory for name, _, factory in pairs}
    if not isinstance(value, Mapping):
        names = _words(value, where, expected)
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"{where} is {value!r}; expected {expected}, each once.")
        return names
    if not value or not all(isinstance(name, str) and name.strip() for name in value):
        raise ConfigurationError(f"{where} is {value!r}; expected {expected}.")
    return {name: _available(factory, f"{where}: {name}") for name, factory in value.items()}


def _available(value: object, where: str) -> LoopFactory | Unavailable:
    if isinstance(value, Unavailable):
        return value
    try:
        factory = parse_loop_factory(value, where)
    except ConfigurationError as error:
        if isinstance(error.__cause__, ImportError):
            return Unavailable(f"{where}: {value!r} cannot be imported: {error.__cause__}")
        raise
    if factory is None:
        raise ConfigurationError(f"{where} is {value!r}; expected a callable, or its name 'package.module:callable'.")
    return factory


def choose_factories(names: Iterable[str], given: LoopFactories | None) -> Mapping[str, LoopFactory | Unavailable]:
    """The loop factories of these names; in the place of one that is not there, the reason."""
    known = given if isinstance(given, Mapping) else {}
    missing = f"is not available. Available factories: {', '.join(known) or 'none'}."
    return {name: known.get(name, Unavailable(f"Loop factory {name!r} {missing}")) for name in names}


def parse_mode(value: object, where: str) -> str:
    """Whether every async test is taken, or only those that are marked."""
    if value in MODES and isinstance(value, str):
        return value
    hint = did_you_mean(value.lower(), list(MODES)) if isinstance(value, str) else ""
    raise ConfigurationError(f"{where} is {value!r}; expected 'strict' or 'auto'.{hint}")


def parse_clock(value: object, where: str) -> str:
    """Whether loops have the real clock, or a virtual one of their own."""
    if isinstance(value, str) and value in CLOCKS:
        return value
    hint = did_you_mean(value.lower(), list(CLOCKS)) if isinstance(value, str) else ""
    raise ConfigurationError(f"{where} is {value!r}; expected 'real' or 'virtual'.{hint}")


def parse_boolean(value: object, where: str) -> bool | None:
    """True or false, as TOML or configparser spell them; or none."""
    if _is_none(value):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    import configparser

    states = configparser.ConfigParser.BOOLEAN_STATES
    if isinstance(value, str) and value.lower() in states:
        return states[value.lower()]
    hint = did_you_mean(value.lower(), [*states, "none"]) if isinstance(value, str) else ""
    raise ConfigurationError(f"{where} is {value!r}; expected one of {', '.join(states)}; or 'none'.{hint}")


def parse_seconds(value: object, where: str) -> float | None:
    """A time in seconds, above 0; or none."""
    if _is_none(value):
        return None
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{where} is {value!r}; expected a number of seconds above 0, or 'none'.")
    return seconds


def parse_schedules(value: object, where: str) -> int:
    """Under how many schedules, 1 at least."""
    return _parse_count(value, where, 1, "how many orders to run a test under, as in 100")


def parse_schedule(value: object, where: str) -> int:
    """The number of a schedule; 0 is asyncio's own order."""
    return _parse_count(value, where, 0, "the number of the one schedule to run; 0 is asyncio's own order")


def _parse_count(value: object, where: str, least: int, expected: str) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{where} is {value!r}; expected a whole number from {least} on: {expected}.")
    return value


def parse_part(value: object, where: str) -> float:
    """A part of something: a number from 0 on."""
    try:
        part = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        part = math.nan
    if not 0 <= part < math.inf:
        raise ConfigurationError(
            f"{where} is {value!r}; expected a number from 0 on, as in 0.5: timers are late by up to half their delay."
        )
    return part


def parse_path(value: object, where: str) -> str | None:
    """The path of a file to be written; or none."""
    if _is_none(value):
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"{where} is {value!r}; expected the path of a file.")
    return value


def parse_checks(value: object, where: str) -> frozenset[Check]:
    """Some of the checks, as a list or a text; "all" that judge the code; or none."""
    names = _words(value, where, f"a list of {', '.join(CHECKS)}; or 'all'; or an empty list")
    if "all" in names and not set(names) - {"all", Check.SLOW_CALLBACKS}:
        return ALL | {Check(name) for name in names if name != "all"}
    for name in names:
        if name not in CHECKS:
            hint = did_you_mean(name.lower(), [*CHECKS, "all"])
            if name == "all":
                hint = " Write 'all' alone, not in a list with others."
            elif name.lower() == "none":
                hint = " For none of them, leave it empty."
            raise ConfigurationError(f"{where} has {name!r}; expected 'all', or some of {', '.join(CHECKS)}.{hint}")
    return frozenset(map(Check, names))


def parse_patterns(value: object, where: str) -> tuple[str, ...]:
    """Patterns of names, as a list or a text; or none."""
    if _is_none(value):
        return ()
    patterns = _words(value, where, "a list of patterns, as in ['pymongo.*']")
    if wrong := next((pattern for pattern in patterns if "'" in pattern or '"' in pattern), None):
        raise ConfigurationError(
            f"{where} has the pattern {wrong!r}, which has quotes in it; write patterns in a text without any, with "
            f"spaces in between, as in  pymongo.* app.pool.*"
        )
    return patterns


def _words(value: object, where: str, expected: str) -> tuple[str, ...]:
    """What is written as a list of texts, or as one text with commas or spaces in between."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(word for word in re.split(r"[\s,]+", value) if word)
    words = tuple(value) if isinstance(value, Iterable) else (value,)
    if isinstance(value, Mapping) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ConfigurationError(f"{where} is {value!r}; expected {expected}.")
    return tuple(str(word).strip() for word in words)


def _parse_scope(value: object, where: str) -> object:
    from asyncunit.scope import Scope

    return Scope.parse(value, where)


_PARSERS: Mapping[str, Callable[[object, str], Any]] = {
    "background_tasks": parse_patterns,
    "clock": parse_clock,
    "clock_quiet": parse_seconds,
    "fail_on": parse_checks,
    "late_timers": parse_part,
    "left_open": parse_patterns,
    "loop_debug": parse_boolean,
    "loop_factories": parse_loop_factories,
    "loop_factory": parse_loop_factory,
    "loop_scope": _parse_scope,
    "mode": parse_mode,
    "schedule": parse_schedule,
    "schedules": parse_schedules,
    "timeout": parse_seconds,
    "trace": parse_path,
}


def parse(values: Mapping[str, object], where: str, known: Sequence[str] = KEYS) -> dict[str, Any]:
    """The meaning of written keys and values; ``where`` begins the message of a ConfigurationError.

    ``known`` are the keys that may be written there.
    """
    for key in values:
        if key not in known:
            raise ConfigurationError(
                f"{where}: there is no key {key!r}; expected one of {', '.join(known)}.{did_you_mean(key, [*known])}"
            )
    return {key: _PARSERS[key](value, f"{where}: {key}") for key, value in values.items()}


# What is configured, merged.


Target = TypeVar("Target", bound=Callable[..., Any])

# Where `settings` leaves the values of a class or a method.
ATTRIBUTE = "__asyncunit_settings__"

# All that is async about a class runs on one loop, so these are not for one of its methods.
CLASS_ATTRIBUTES = ("loop_scope", "loop_factory")

# So are these, which are part of which loop it is, and are not attributes of the class.
OF_LOOPS = (*CLASS_ATTRIBUTES, "loop_factories", "clock", "clock_quiet")

# The checks that cost nothing, and are made whether ``fail_on`` names them or not.
ALWAYS_ON = frozenset({Check.UNHANDLED_ERRORS, Check.LEAKED_TASKS, Check.LEFT_CALLBACKS})


class Config:
    """The values in force at one place: for a run, a module, a class or a test.

    ``loop_scope`` is the least loop scope of a class that sets none. ``loop_factory`` makes the loops; None
    is asyncio's own loop. ``clock`` is "virtual" where they have a clock of their own, and else "real"; ``clock_quiet``
    are the seconds of silence after which what is outside holds it no longer. ``loop_debug`` is asyncio's debug mode;
    None leaves it to ``PYTHONASYNCIODEBUG`` and ``-X dev``. ``timeout`` is what each step may take, in seconds; None is
    for ever. ``fail_on`` names the checks that fail a test; ``background_tasks`` are patterns of the coroutines whose
    tasks may live as long as their loop, and ``left_open`` of the functions that may leave resources, callbacks and
    threads. ``loop_factories`` are several by name, each test being run once with each; ``mode`` is "auto" where every
    async test is taken, and else "strict". ``schedules`` is under how many orders of its tasks a test is run, and
    ``late_timers`` by up to which part of their delay timers are late then; ``schedule`` is the only one to be run, and
    ``trace`` the file for its timeline, both of which come from the environment. ``sources`` says for each key that was
    written somewhere where that is.

    ``is_lenient`` is true where what is found only warns, even where warnings are errors. ``costly`` are those checks
    of ``fail_on`` that cost something, and are made only there. ``looks_in_loop`` is true where one of them looks on in
    the running loop; ``watches`` where anything is to be done before the loop is run, and after it; ``explores`` where
    a test is to follow schedules.
    """

    loop_scope: Scope = Scope.FUNCTION
    loop_factory: LoopFactory | None = None
    clock: str = "real"
    clock_quiet: float | None = None
    loop_debug: bool | None = None
    timeout: float | None = None
    fail_on: frozenset[Check] = frozenset({Check.UNHANDLED_ERRORS})
    background_tasks: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()
    loop_factories: LoopFactories | None = None
    mode: str = "strict"
    sources: Mapping[str, str] = types.MappingProxyType({})
    is_lenient: bool = False
    schedules: int = 1
    late_timers: float = 0.0
    schedule: int | None = None
    trace: str | None = None

    # No dataclass: to make one takes a tenth of the time in which asyncunit is imported.
    def __init__(self, **values: Any) -> None:
        if unknown := values.keys() - Config.__annotations__:
            raise TypeError(f"Config() has no {', '.join(sorted(unknown))}")
        self._values = values
        for name, value in values.items():
            setattr(self, name, value)
        self.costly = self.fail_on - ALWAYS_ON
        self.explores = self.schedules > 1 or self.schedule is not None or self.trace is not None
        self.looks_in_loop = Check.UNCLOSED_RESOURCES in self.costly
        is_timed = self.timeout is not None or Check.SLOW_CALLBACKS in self.costly
        self.watches = is_timed or self.loop_debug is not None

    def __eq__(self, other: object) -> bool:
        """Whether all values are the same, and where they are written."""
        names = Config.__annotations__.keys()
        return isinstance(other, Config) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def merged(self, values: Mapping[str, Any], source: str) -> Config:
        """This configuration with ``values``, which are written at ``source``, in front."""
        if not values:
            return self
        sources = {**self.sources, **dict.fromkeys(values, source)}
        if type(names := values.get("loop_factories")) is tuple:
            values = {**values, "loop_factories": choose_factories(names, self.loop_factories)}
        return Config(**{**self._values, **values, "sources": sources})

    def clocked(self, factory: LoopFactory | None) -> LoopFactory | None:
        """What stands for the loops of ``factory`` with the clock that is configured: the same at each call."""
        return factory if self.clock == "real" else VirtualLoops.of(factory, self.clock_quiet)

    def leniently(self) -> Config:
        """This configuration, but that what is found only warns."""
        return Config(**{**self._values, "fail_on": frozenset(), "is_lenient": True})

    def reason(self, key: str) -> str:
        """Why a key has its value, in words that fit into a sentence."""
        return f"configured in {self.sources[key]}" if key in self.sources else "by default"


class VirtualLoops:
    """In the place of a loop factory: its loops, with a virtual clock. Who makes the loops knows how."""

    # By the identity of the factory: some cannot be hashed. They are kept, so no other has that identity.
    _known: ClassVar[dict[tuple[int, float | None], LoopFactory]] = {}

    def __init__(self, factory: LoopFactory | None, quiet: float | None) -> None:
        self.factory = factory
        self.quiet = quiet

    @classmethod
    def of(cls, factory: LoopFactory | None, quiet: float | None) -> LoopFactory:
        """The one for this factory; two classes that have the same are on one loop."""
        key = (id(factory), quiet)
        if key not in cls._known:
            cls._known[key] = cast("LoopFactory", cls(factory, quiet))
        return cls._known[key]

    def __repr__(self) -> str:
        made_by = "asyncio" if self.factory is None else getattr(self.factory, "__qualname__", repr(self.factory))
        quiet = "" if self.quiet is None else f" and clock_quiet = {self.quiet:g}"
        return f"{made_by} with a virtual clock{quiet}"


class settings:  # noqa: N801 - used as a decorator, and named as one
    """Configuration for one class, or for one method: ``@asyncunit.settings(loop_debug=True)``.

    As the value of ``asyncunit_settings`` at the top of a module it is for the module. On a class it is
    inherited as attributes are, and its ``loop_scope`` and ``loop_factory`` become the class attributes of
    that name; a method cannot have these two. Raises ConfigurationError for an unknown key or a bad value.
    """

    # How messages name it.
    _written_as = "asyncunit.settings"

    def __init__(self, **values: object) -> None:
        with at_users_line:
            self.values = parse_settings(values, f"{self._written_as}(...)")

    def __call__(self, target: Target, /) -> Target:
        """Attach the values to a class or a function, and return it."""
        values = self.values
        if isinstance(target, type):
            with at_users_line:
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
                f"{class_name(cls)} says {key} = {shown(written)} and "
                f"{self._written_as}({key}={shown(self.values[key])}); write one of the two."
            )
        setattr(cls, key, self.values[key])


def shown(value: object) -> str:
    """A value as a user writes it."""
    return repr(str(value) if isinstance(value, Scope) else value)


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


def config_of_module(name: str, config: Config) -> Config:
    """The configuration in force for a module, ``config`` being that of the run."""
    return config.merged(settings_of_module(name), f"{name}.asyncunit_settings")
