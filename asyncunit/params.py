"""One test method to many: the values that it runs with, their ids, and the methods that are generated for them."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import inspect
import itertools
import re
import types
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from asyncunit.errors import DefinitionError

__all__ = [
    "Ids",
    "Param",
    "ParamSet",
    "Variant",
    "Variants",
    "combine",
    "expand",
    "param",
    "param_sets_of",
    "parametrize",
    "parse_params",
    "place_of",
    "written_test",
]

__unittest = True  # a traceback that a user reads begins at the user's line

Function = TypeVar("Function", bound=Callable[..., Any])
Ids = Iterable[object] | Callable[[Any], object] | None

# Where `parametrize` leaves its sets of values on a test method.
ATTRIBUTE = "__asyncunit_parametrize__"
# Where a generated method keeps the one that is written in the class.
WRITTEN = "__asyncunit_written__"


@dataclasses.dataclass(frozen=True, slots=True)
class Param:
    """One set of values, and what is said of it; see `param`."""

    values: tuple[object, ...]
    id: str | None = None
    skip: str | None = None
    expected_failure: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ParamSet:
    """The values that ``names`` have in turn, each with its id. ``where`` is the file and line that says so."""

    names: tuple[str, ...]
    params: tuple[Param, ...]
    where: str


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One of the tests that a test method becomes: its name, and what was chosen of each set of values."""

    name: str
    chosen: tuple[Param, ...]

    @property
    def skip(self) -> str | None:
        """The reason to skip it, None if there is none."""
        return next((chosen.skip for chosen in self.chosen if chosen.skip is not None), None)

    @property
    def expected_failure(self) -> bool:
        """Whether the test is expected to fail with one of these values."""
        return any(chosen.expected_failure for chosen in self.chosen)


def param(*values: object, id: str | None = None, skip: str | None = None, expected_failure: bool = False) -> Param:  # noqa: A002 - pytest's term
    """Say more of one value, or of one set of them, for `parametrize` and the ``params`` of a fixture.

    ``id`` stands for it in the name of the test. ``skip`` is the reason to skip the test with it, and
    ``expected_failure`` marks the test with it as unittest.expectedFailure does. Raises DefinitionError for a value of
    a wrong type.
    """
    for key, value in {"id": id, "skip": skip}.items():
        if value is not None and not isinstance(value, str):
            expected = "the reason, a string" if key == "skip" else "a string"
            raise DefinitionError(f"asyncunit.param(...): {key} is {value!r}; expected {expected}.")
    if not isinstance(expected_failure, bool):
        raise DefinitionError(
            f"asyncunit.param(...): expected_failure is {expected_failure!r}; expected True or False."
        )
    return Param(values, id, skip, expected_failure)


def parametrize(
    names: str | Sequence[str], values: Iterable[object], *, ids: Ids = None
) -> Callable[[Function], Function]:
    """Run a test method once for each of the values: ``@asyncunit.parametrize("a, b", [(1, 2), (3, 4)])``.

    ``names`` are the parameters to fill, separated by commas or as a list. For several, each value is a tuple with one
    for each, or `param`. ``ids`` has the texts that stand for the values in the names of the tests: a list, or a
    callable that is given a value and returns a text, or None for the default. Several parametrize decorators multiply.
    The terms are pytest's. Raises DefinitionError where names, values and ids do not go together.
    """
    names = _parse_names(names)

    def decorate(function: Function) -> Function:
        if isinstance(function, type) or not callable(function):
            raise DefinitionError(
                f"asyncunit.parametrize({', '.join(names)!r}, ...) decorates {function!r}; expected a test method. "
                f"Write it above each method that it is meant for."
            )
        what = f"asyncunit.parametrize({', '.join(names)!r}, ...) of {function.__qualname__}"
        made = ParamSet(names, parse_params(names, values, ids, what), place_of(function))
        setattr(function, ATTRIBUTE, (*param_sets_of(function), made))
        return function

    return decorate


def param_sets_of(function: object) -> tuple[ParamSet, ...]:
    """What `parametrize` says of a test method, the decorator next to it first."""
    sets: tuple[ParamSet, ...] = getattr(getattr(function, "__func__", function), ATTRIBUTE, ())
    return sets


def place_of(function: object) -> str:
    """The file and line in which a function is defined."""
    function = inspect.unwrap(getattr(function, "__func__", function))  # type: ignore[arg-type]
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, types.CodeType) else repr(function)


def _parse_names(names: object) -> tuple[str, ...]:
    parts: Any = names.split(",") if isinstance(names, str) else names
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise DefinitionError(
            f"asyncunit.parametrize({names!r}, ...): expected names of parameters, as in 'a, b' or ['a', 'b']."
        )
    found = tuple(part.strip() for part in parts if part.strip())
    for name in found:
        if not name.isidentifier() or found.count(name) > 1:
            wrong = "is there twice" if name.isidentifier() else "is not the name of a parameter"
            raise DefinitionError(f"asyncunit.parametrize({names!r}, ...): {name!r} {wrong}.")
    if not found:
        raise DefinitionError(f"asyncunit.parametrize({names!r}, ...) names no parameter; expected one, as in 'a'.")
    return found


def parse_params(names: tuple[str, ...], values: object, ids: Ids, what: str) -> tuple[Param, ...]:
    """The values as they were written, each with an id; ``what`` begins the message of a DefinitionError."""
    if not isinstance(values, Iterable):
        raise DefinitionError(f"{what}: the values are {values!r}; expected a list of them.")
    params = [_parse_param(names, value, f"{what}: value {index}") for index, value in enumerate(values)]
    texts = _ids(names, params, ids, what)
    return tuple(dataclasses.replace(given, id=text) for given, text in zip(params, unique(texts), strict=True))


def _parse_param(names: tuple[str, ...], value: object, what: str) -> Param:
    given = value if isinstance(value, Param) else Param((value,) if len(names) == 1 else _unpack(names, value, what))
    if len(given.values) != len(names):
        raise DefinitionError(
            f"{what} is {given.values!r}, of length {len(given.values)}; expected one for each of {', '.join(names)}."
        )
    return given


def _unpack(names: tuple[str, ...], value: object, what: str) -> tuple[object, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DefinitionError(f"{what} is {value!r}; expected a tuple with one for each of {', '.join(names)}.")
    return tuple(value)


def _ids(names: tuple[str, ...], params: list[Param], ids: Ids, what: str) -> list[str]:
    given: list[object] = [None] * len(params)
    if ids is not None and not callable(ids):
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise DefinitionError(f"{what}: ids is {ids!r}; expected a list of texts, or a callable that makes one.")
        given = list(itertools.islice(ids, len(params) + 1))
        if len(given) != len(params):
            found = len(given) if len(given) < len(params) else "more"
            raise DefinitionError(f"{what}: there are {len(params)} values and {found} ids; expected one id for each.")
    made = []
    for index, (each, text) in enumerate(zip(params, given, strict=True)):
        if each.id is not None or text is not None:
            made.append(_checked(text if each.id is None else each.id, f"{what}: the id of value {index}"))
            continue
        parts = []
        for name, value in zip(names, each.values, strict=True):
            own = ids(value) if callable(ids) else None
            default = _default_id(value) or f"{name}{index}"
            parts.append(default if own is None else _checked(own, f"{what}: ids({value!r})"))
        made.append("-".join(parts))
    return made


def _checked(text: object, what: str) -> str:
    if not isinstance(text, str | int | float):
        raise DefinitionError(f"{what} is {text!r}; expected a text, a number, or None for the default.")
    return _printable(str(text))


def _default_id(value: object) -> str | None:
    """The text that stands for a value of the types that read well; None for an object of another."""
    if isinstance(value, str):
        return _printable(value) or None
    if isinstance(value, bytes):
        return _printable(value.decode("ascii", "backslashreplace")) or None
    if value is None or isinstance(value, bool | int | float | complex | enum.Enum):
        return str(value)
    if isinstance(value, re.Pattern):
        return _printable(str(value.pattern))
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) and name.isidentifier() else None


def _printable(text: str) -> str:
    """The text as it can be typed as an argument of a command."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def unique(texts: Sequence[str]) -> list[str]:
    """The texts, those that are there more than once told apart by a number."""
    counts = collections.Counter(texts)
    taken = {text for text, count in counts.items() if count == 1}
    made = []
    for text in texts:
        if counts[text] == 1:
            made.append(text)
            continue
        stem = f"{text}_" if text[-1:].isdigit() else text
        made.append(next(f"{stem}{number}" for number in itertools.count() if f"{stem}{number}" not in taken))
        taken.add(made[-1])
    return made


def combine(name: str, sets: Sequence[ParamSet]) -> list[Variant]:
    """The tests that a test method becomes; the values of the last set vary fastest."""
    chosen = list(itertools.product(*(each.params for each in sets)))
    ids = unique(["-".join(each.id or "" for each in choice) for choice in chosen])
    return [Variant(f"{name}[{text}]", choice) for text, choice in zip(ids, chosen, strict=True)]


def written_test(member: object, name: str) -> object | None:
    """The test method as it is written, for what a class has under ``name``; None for a generated variant of one."""
    written: object = member
    if isinstance(member, Variants):
        written = member.written
    elif hasattr(member, WRITTEN):
        written = None if "[" in name else getattr(member, WRITTEN)
    return written


def expand(cls: type, written: Mapping[str, object], variants: Mapping[str, Sequence[Variant]]) -> None:
    """Put the variants of the test methods into the class, in the place of those that it inherits.

    The bare name of a test is kept for what is said of it, and for overrides to call. A test with no value to run it
    with is one skipped test.
    """
    for name in dir(cls):  # what a base was given, and may not be true here
        member = inspect.getattr_static(cls, name)
        if isinstance(member, Variants | _Prefix) or hasattr(member, WRITTEN):
            setattr(cls, name, written.get(name))
    for name, made in variants.items():
        if not made:
            reason = f"there is no value to run it with: an empty list of params, see {place_of(written[name])}"
            setattr(cls, name, unittest.skip(reason)(_copy(written[name], name)))
            continue
        setattr(cls, name, Variants(cls, name, written[name], [variant.name for variant in made]))
        for variant in made:
            method = _copy(written[name], variant.name)
            if variant.expected_failure:
                method = unittest.expectedFailure(method)
            setattr(cls, variant.name, method if variant.skip is None else unittest.skip(variant.skip)(method))
            prefix, dot, _ = variant.name.partition(".")
            if dot:
                setattr(cls, prefix, _Prefix(prefix))


def _copy(written: Any, name: str) -> Callable[..., Any]:
    """A method like the written one; unittest finds tests by their names."""
    made: Callable[..., Any]
    if isinstance(written, types.FunctionType):
        made = types.FunctionType(
            written.__code__, written.__globals__, name, written.__defaults__, written.__closure__
        )
        made.__kwdefaults__ = written.__kwdefaults__
    else:

        def made(self: object, /, *args: Any, **kwargs: Any) -> Any:
            bound = written.__get__(self, type(self)) if hasattr(written, "__get__") else written
            return bound(*args, **kwargs)

    functools.update_wrapper(made, written)
    made.__name__ = name
    made.__qualname__ = f"{getattr(written, '__qualname__', name).rpartition('.')[0]}.{name}".removeprefix(".")
    setattr(made, WRITTEN, written)
    return made


class Variants:
    """What a class has under the bare name of a test that has become many."""

    def __init__(self, cls: type, name: str, written: Any, names: list[str]) -> None:
        self.written = written
        self.names = names
        self._cls = cls
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        # Not callable, and so no test to unittest's loader; an override calls the written one by super().
        return self if instance is None else self.written.__get__(instance, owner)

    def __repr__(self) -> str:
        cls = f"{self._cls.__module__}.{self._cls.__qualname__}"
        return f"{cls}.{self._name} has become {len(self.names)} tests. Name one of them:\n" + "\n".join(
            f"  {cls}.{name}" for name in self.names
        )


class _Prefix:
    """The part before the first dot of a generated name: unittest's loader goes by attributes, from dot to dot."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, instance: object, owner: type) -> _Reached:
        return _Reached(owner, self._path)


class _Reached:
    """How far unittest's loader has come on its way to a test whose name has dots in it."""

    def __init__(self, cls: type, path: str) -> None:
        self._cls = cls
        self._path = path

    def __getattr__(self, part: str) -> Any:
        path = f"{self._path}.{part}"
        if callable(getattr(self._cls, path, None)):
            return functools.partial(self._cls, path)
        if any(name.startswith(f"{path}.") for name in dir(self._cls)):
            return _Reached(self._cls, path)
        raise AttributeError(f"{self._cls.__qualname__} has no test {path!r}")
