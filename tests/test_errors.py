import re
from pathlib import Path

import pytest

import asyncunit
from asyncunit import errors

NAMES = [name for name in errors.__all__ if name != "AsyncUnitError"]


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_in_the_tree_and_in_its_drawing(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.AsyncUnitError | Warning)
    assert error.__doc__
    assert getattr(asyncunit, name) is error
    others = [base.__name__ for base in error.__bases__ if base not in (errors.AsyncUnitError, Warning)]
    assert f"── {name} ({', '.join(others)})" in errors.__doc__ or (not others and f"── {name} " in errors.__doc__)


def test_the_tree_draws_no_error_that_is_not_there():
    drawn = {line.split("── ")[1].split()[0] for line in errors.__doc__.splitlines() if "── " in line}
    assert drawn | {"AsyncUnitError"} == set(errors.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_raised_somewhere(name):
    sources = [path.read_text(encoding="utf-8") for path in Path(asyncunit.__file__).parent.rglob("*.py")]
    assert any(
        re.search(rf"\b{name}\((\n|f\"|text|_\w+\()", source) for source in sources if f"class {name}(" not in source
    )


@pytest.mark.parametrize(
    ("word", "hint"), [("modul", " Did you mean 'module'?"), ("function", " Did you mean 'function'?"), ("xyz", "")]
)
def test_the_nearest_known_word_is_named_if_one_is_near(word, hint):
    assert errors.did_you_mean(word, ["function", "module"]) == hint


def test_one_error_is_raised_as_it_is_and_several_as_a_group():
    errors.raise_all([], "nothing")
    with pytest.raises(ValueError, match="alone"):
        errors.raise_all([ValueError("alone")], "closing")
    with pytest.raises(ExceptionGroup, match="closing") as caught:
        errors.raise_all([ValueError("a"), KeyError("b")], "closing")
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]
