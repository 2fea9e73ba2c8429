"""The values that a test or a fixture is run with, their ids, and the tests that a test method becomes by them.

These are put into its class, under names that unittest selects.
"""

from __future__ import annotations

import collections
import enum
import functools
import itertools
import keyword
import operator
import re
import types
import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from unittest.util import three_way_cmp

from asyncunit.errors import DefinitionError
from asyncunit.introspection.functions import (
    bound,
    class_name,
    function_of,
    is_plain,
    is_test_method,
    members_of,
    written_at,
)
from asyncunit.introspection.tracebacks import at_users_line
from asyncunit.records import Record

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


Function = TypeVar("Function", bound=Callable[..., Any])
Ids = Iterable[object] | Callable[[Any], object] | None

# Where `parametrize` leaves its sets of values on a test method.
ATTRIBUTE = "__asyncunit_parametrize__"


class Param(Record):
    """One set of values, and what is said of it; see `param`."""

    values: tuple[object, ...]
    id: str | None = None
    skip: str | None = None
    expected_failure: bool = False


class ParamSet(Record):
    """The values that ``names`` have in turn, each with its id. ``where`` is the file and line that says so."""

    names: tuple[str, ...]
    params: tuple[Param, ...]
    where: str


class Variant(Record):
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

    ``id`` is in the name of the test, for this value. ``skip`` is the reason to skip the test with it, and
    ``expected_failure`` marks the test with it as unittest.expectedFailure does. Raises DefinitionError for a value of
    a wrong type.
    """
    with at_users_line:
        _check_param(id, skip, expected_failure)
    return Param(values, id, skip, expected_failure)


def _check_param(id: object, skip: object, expected_failure: object) -> None:  # noqa: A002 - as the user writes it
    for key, value in {"id": id, "skip": skip}.items():
        if value is not None and not isinstance(value, str):
            expected = "the reason, a string" if key == "skip" else "a string"
            raise DefinitionError(f"asyncunit.param(...): {key} is {value!r}; expected {expected}.")
    if not isinstance(expected_failure, bool):
        raise DefinitionError(
            f"asyncunit.param(...): expected_failure is {expected_failure!r}; expected True or False."
        )


def parametrize(
    names: str | Sequence[str], values: Iterable[object], *, ids: Ids = None
) -> Callable[[Function], Function]:
    """Run a test method once for each of the values: ``@asyncunit.parametrize("a, b", [(1, 2), (3, 4)])``.

    ``names`` are the parameters to fill, separated by commas or as a list. For several, each value is a tuple with one
    for each, or `param`. ``ids`` has the texts for the values that are in the names of the tests: a list, or a
    callable that is given a value and returns a text, or None for the default. Several parametrize decorators multiply.
    The terms are pytest's. Raises DefinitionError where names, values and ids do not go together.
    """
    # A list of names has a list of values, also where it is one of one; as with pytest.
    is_many = not isinstance(names, str)
    with at_users_line:
        parsed = _parse_names(names)
    values = list(values) if isinstance(values, Iterable) else values
    ids = ids if callable(ids) or isinstance(ids, str) or not isinstance(ids, Iterable) else list(ids)

    def decorate(function: Function) -> Function:
        with at_users_line:
            made = _param_set(function, parsed, values, ids, is_many=is_many)
        setattr(function_of(function), ATTRIBUTE, (*param_sets_of(function), made))
        return function

    return decorate


def _param_set(function: Any, names: tuple[str, ...], values: object, ids: Ids, *, is_many: bool) -> ParamSet:
    title = f"asyncunit.parametrize({', '.join(names)!r}, ...)"
    if isinstance(function, type) or not is_test_method(function):
        raise DefinitionError(
            f"{title} decorates {function!r}; expected a test method. Write it above each method that it is meant for."
        )
    where = written_at(function)
    what = f"{title} of {getattr(function, '__qualname__', function)} ({where})"
    return ParamSet(names, parse_params(names, values, ids, what, is_many=is_many), where)


def param_sets_of(function: object) -> tuple[ParamSet, ...]:
    """What `parametrize` says of a test method, the decorator next to it first."""
    sets: tuple[ParamSet, ...] = getattr(function_of(function), "__dict__", {}).get(ATTRIBUTE, ())
    return sets


def _parse_names(names: object) -> tuple[str, ...]:
    parts: Any = names.split(",") if isinstance(names, str) else names
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise DefinitionError(
            f"asyncunit.parametrize({names!r}, ...): expected names of parameters, as in 'a, b' or ['a', 'b']."
        )
    found = tuple(part.strip() for part in parts if part.strip())
    for name in found:
        if not is_name(name) or found.count(name) > 1:
            wrong = "is there twice" if is_name(name) else "is not the name of a parameter"
            raise DefinitionError(f"asyncunit.parametrize({names!r}, ...): {name!r} {wrong}.")
    if not found:
        raise DefinitionError(f"asyncunit.parametrize({names!r}, ...) names no parameter; expected one, as in 'a'.")
    return found


def is_name(text: str) -> bool:
    """Whether a parameter or an attribute can have that name."""
    return text.isidentifier() and not keyword.iskeyword(text)


def parse_params(
    names: tuple[str, ...], values: object, ids: Ids, what: str, *, is_many: bool = False
) -> tuple[Param, ...]:
    """The values as they were written, each with an id; ``what`` begins the message of a DefinitionError.

    Where there are several names, and where ``is_many``, a value is a tuple with one for each.
    """
    if not isinstance(values, Iterable):
        raise DefinitionError(f"{what}: the values are {values!r}; expected a list of them.")
    is_many = is_many or len(names) > 1
    params = [
        _parse_param(names, value, f"{what}: value {index}", is_many=is_many) for index, value in enumerate(values)
    ]
    # Tools split the name of a test at its dots.
    texts = [text.replace(".", "_") for text in _ids(names, params, ids, what)]
    named = zip(params, unique(texts), strict=True)
    return tuple(given.replace(id=text) for given, text in named)


def _parse_param(names: tuple[str, ...], value: object, what: str, *, is_many: bool) -> Param:
    given = value if type(value) is Param else Param(_unpack(names, value, what) if is_many else (value,))
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


def _default_id(value: Any) -> str | None:
    """The text that stands for a value of the types that read well; None for an object of another."""
    kind = type(value)  # isinstance() would wake a lazy object
    if issubclass(kind, str):
        return _printable(value) or None
    if issubclass(kind, bytes):
        return _printable(value.decode("ascii", "backslashreplace")) or None
    if value is None or issubclass(kind, bool | int | float | complex | enum.Enum):
        return str(value)
    if issubclass(kind, re.Pattern):
        return _printable(str(value.pattern))
    if issubclass(kind, type | types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        name: str = value.__name__
        return name
    return None


def _printable(text: str) -> str:
    """The text as it can be typed as an argument of a command."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def unique(texts: Sequence[str]) -> list[str]:
    """The texts, those that are there more than once told apart by a number."""
    counts = collections.Counter(texts)
    taken = {text for text, count in counts.items() if count == 1}
    numbered = {text: _numbered(text) for text, count in counts.items() if count > 1}
    made = []
    for text in texts:
        if text in numbered:
            made.append(next(each for each in numbered[text] if each not in taken))
            taken.add(made[-1])
        else:
            made.append(text)
    return made


def _numbered(text: str) -> Iterator[str]:
    stem = f"{text}_" if text[-1:].isdigit() else text
    return (f"{stem}{number}" for number in itertools.count())


def combine(name: str, sets: Sequence[ParamSet]) -> list[Variant]:
    """The tests that a test method becomes; the values of the last set vary fastest.

    Where a set has no values, that is one test to be skipped, with pytest's name for it.
    """
    empty = next((each for each in sets if not each.params), None)
    if empty is not None:
        reason = f"there is no value to run it with: the params of {', '.join(empty.names)!r} are empty ({empty.where})"
        return [Variant(f"{name}[NOTSET]", tuple(Param((None,) * len(each.names), skip=reason) for each in sets))]
    chosen = list(itertools.product(*(each.params for each in sets)))
    ids = unique(["-".join(each.id or "" for each in choice) for choice in chosen])
    return [Variant(f"{name}[{text}]", choice) for text, choice in zip(ids, chosen, strict=True)]


# The tests that a test method becomes.


# Where a generated method keeps what it was made of.
GENERATED = "__asyncunit_generated__"


class _Generated(Record):
    """What is noted on a method that was put into a class: what it was made of.

    ``is_own`` is true where the class itself defines the test.
    """

    written: object
    variant: Variant | None
    is_own: bool


def written_test(member: object, name: str) -> object | None:
    """The test method as it is written, for what a class has under ``name``.

    None where the class does not say it itself: for a generated variant, and for the copy of a base's.
    """
    made = member if type(member) is Variants else _generated(member)
    if made is not None:
        return made.written if made.is_own and "[" not in name else None
    return None if "[" in name else member


def written_behind(member: object) -> object:
    """The test method as it is written, for one that may have been put into its class in the place of it."""
    made = member if type(member) is Variants else _generated(member)
    return member if made is None else made.written


def is_bare_name(value: object) -> bool:
    """Whether a class has the value under the name of a test that has become many."""
    return type(value) is _BareName


def is_generated(member: object) -> bool:
    """Whether the member was put into its class for another one."""
    return type(member) is Variants or _generated(member) is not None


def _generated(member: object) -> _Generated | None:
    found: _Generated | None = vars(member).get(GENERATED) if type(member) is types.FunctionType else None
    return found


# The place of each variant among those of its test, in the class that a loader has asked last. A loader asks a class
# for each of its names, bare ones included, just before it sorts them.
_positions: dict[str, int] = {}


def _load_in_written_order() -> None:
    """Have unittest's loaders sort the variants of a test as their values are written, and all else as ever.

    ``sortTestMethodsUsing`` is what unittest documents for that; one that somebody else has set stays.
    """
    if unittest.TestLoader.sortTestMethodsUsing is three_way_cmp:
        unittest.TestLoader.sortTestMethodsUsing = staticmethod(in_written_order)


def in_written_order(one: str, other: str) -> int:
    """Compare the names of two tests: by their letters, and variants of one test by their place."""
    return three_way_cmp(_sort_key(one), _sort_key(other))


def _sort_key(name: str) -> tuple[str, int, str]:
    stem, bracket, _ = name.partition("[")
    return stem + bracket, _positions.get(name, -1), name


def expand(cls: type, written: Mapping[str, object], variants: Mapping[str, Sequence[Variant]]) -> None:
    """Put the variants of the test methods into the class, where it does not inherit the same.

    The bare name of a test is kept for what is said of it, and for overrides to call.
    """
    if variants:
        _load_in_written_order()
    members = members_of(cls)
    wanted = {variant.name: variant for made in variants.values() for variant in made}
    _hide(cls, members, written, wanted, variants)
    for name, made in variants.items():
        names = [variant.name for variant in made]
        bare = members.get(name)
        if type(bare) is not Variants or bare.written is not written[name] or bare.names != names:
            setattr(cls, name, Variants(cls, name, written[name], names))
        for variant in made:
            inherited = _generated(members.get(variant.name))
            if inherited is None or inherited.written is not written[name] or not _is_same(inherited.variant, variant):
                _put_variant(cls, written[name], variant)


def _hide(
    cls: type,
    members: Mapping[str, object],
    written: Mapping[str, object],
    wanted: Mapping[str, Variant],
    variants: Mapping[str, Sequence[Variant]],
) -> None:
    """Hide what a base was given and is not true of this class."""
    for name, member in members.items():
        is_made = not is_plain(member) and is_generated(member)
        if is_made and "[" in name and name not in wanted:
            setattr(cls, name, None)
        elif is_made and "[" not in name and name not in variants:
            setattr(cls, name, _copy(written[name], name, None) if name in written else None)


def _put_variant(cls: type, written: object, variant: Variant) -> None:
    method = _copy(written, variant.name, variant, is_own=variant.name in vars(cls))
    if variant.expected_failure:
        method = unittest.expectedFailure(method)
    setattr(cls, variant.name, method if variant.skip is None else unittest.skip(variant.skip)(method))


def _is_same(one: Variant | None, other: Variant) -> bool:
    """Whether two variants of a test have the very same values."""
    if one is None or len(one.chosen) != len(other.chosen):
        return False
    return all(map(operator.is_, one.chosen, other.chosen))


def _copy(written: Any, name: str, variant: Variant | None, *, is_own: bool = False) -> Callable[..., Any]:
    """A method like the written one; unittest finds tests by their names."""
    made: Callable[..., Any]
    itself = types.CellType()
    if isinstance(written, types.FunctionType):
        # One that mock.patch has made refers to itself, and to the list that a patch of the class adds to.
        closure = tuple(itself if _holds(cell, written) else cell for cell in written.__closure__ or ())
        made = types.FunctionType(written.__code__, written.__globals__, name, written.__defaults__, closure)
        made.__kwdefaults__ = written.__kwdefaults__
    else:

        def made(self: object, /, *args: Any, **kwargs: Any) -> Any:
            return bound(written, self, type(self))(*args, **kwargs)

    functools.update_wrapper(made, written)
    itself.cell_contents = made
    if patchings := vars(made).get("patchings"):
        vars(made)["patchings"] = list(patchings)
    made.__name__ = name
    made.__qualname__ = f"{getattr(written, '__qualname__', name).rpartition('.')[0]}.{name}".removeprefix(".")
    setattr(made, GENERATED, _Generated(written, variant, is_own))
    return made


def _holds(cell: types.CellType, value: object) -> bool:
    try:
        return cell.cell_contents is value
    except ValueError:  # it is empty
        return False


class Variants:
    """What a class has under the bare name of a test that has become many.

    ``is_own`` is true where the class itself defines the test; another one passes on what is asked of it to its bases.
    """

    def __init__(self, cls: type, name: str, written: Any, names: list[str]) -> None:
        self.written = written
        self.names = names
        self.is_own = name in vars(cls)
        self._cls = cls
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:  # not callable, and so no test to unittest's loader
            _positions.update((name, index) for index, name in enumerate(self.names))
            return _BareName(owner, self._name, self.names)
        # An override calls it by super().
        if self.is_own:
            return bound(self.written, instance, owner)
        return getattr(super(self._cls, instance), self._name)


class _BareName:
    """The answer to who selects a test by a name that stands for many."""

    def __init__(self, cls: type, name: str, names: list[str]) -> None:
        title = class_name(cls)
        self._text = f"{title}.{name} has become {len(names)} tests. Name one of them:\n" + "\n".join(
            f"  {title}.{name}" for name in names
        )

    def __repr__(self) -> str:
        return self._text
