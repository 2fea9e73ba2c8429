"""What is configured, merged; and `settings`, which says it of a class, a method or a module."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

from asyncunit.config.keys import SETTINGS
from asyncunit.config.parsing import Check, LoopFactories, LoopFactory, choose_factories, parse
from asyncunit.errors import ConfigurationError
from asyncunit.introspection.functions import class_name
from asyncunit.introspection.tracebacks import at_users_line
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Target = TypeVar("Target", bound=Callable[..., Any])

# Where `settings` leaves the values of a class or a method.
ATTRIBUTE = "__asyncunit_settings__"

# All that is async about a class runs on one loop, so these are not for one of its methods.
CLASS_ATTRIBUTES = ("loop_scope", "loop_factory")

# So are these, which are part of which loop it is, and are not attributes of the class.
OF_LOOPS = (*CLASS_ATTRIBUTES, "loop_factories", "clock", "clock_quiet")

# The checks that cost nothing, and are made whether ``fail_on`` names them or not.
ALWAYS_ON = frozenset({Check.UNHANDLED_ERRORS, Check.LEAKED_TASKS, Check.LEFT_CALLBACKS})

# Those for which something is done while the loop runs; the others look before a test and after it.
_MADE_WHILE_A_LOOP_RUNS = frozenset({Check.SLOW_CALLBACKS, Check.UNCLOSED_RESOURCES})


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
    of ``fail_on`` that cost something, and are made only there. ``watches`` is true where anything is to be done while
    a loop runs; ``explores`` where a test is to follow schedules.
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
        watches = not _MADE_WHILE_A_LOOP_RUNS.isdisjoint(self.costly)
        self.watches = watches or self.timeout is not None or self.loop_debug is not None

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
