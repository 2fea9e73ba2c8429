"""The tests that a test method becomes: put into its class, under names that unittest selects."""

from __future__ import annotations

import functools
import operator
import types
import unittest
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from unittest.util import three_way_cmp

from asyncunit.introspection.functions import bound, class_name, is_plain, members_of
from asyncunit.plans.params import Variant

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# Where a generated method keeps what it was made of.
GENERATED = "__asyncunit_generated__"


class _Generated(NamedTuple):
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
