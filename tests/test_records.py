"""Records: named values by position, by name and by default."""

from __future__ import annotations

import pytest

from asyncunit.records import Record


class Line(Record):
    """A line of a file."""

    path: str
    number: int = 1


def test_values_are_given_in_their_order_or_by_name():
    assert vars(Line("a.py", 2)) == vars(Line(number=2, path="a.py")) == {"path": "a.py", "number": 2}


def test_a_value_that_is_not_given_is_the_default():
    assert Line("a.py").number == 1


def test_no_value_is_in_the_class_as_well():
    assert not vars(Line).keys() & {"path", "number"}


def test_a_replaced_value_is_in_another_record():
    line = Line("a.py", 2)
    assert (line.replace(number=3).number, line.number) == (3, 2)


def test_a_record_shows_its_values():
    assert repr(Line("a.py", 2)) == "Line(path='a.py', number=2)"


@pytest.mark.parametrize("given", [{}, {"number": 2}, {"path": "a.py", "line": 3}])
def test_what_is_missing_or_unknown_is_refused(given):
    with pytest.raises(TypeError, match=r"Line\(\) takes path, number"):
        Line(**given)


def test_too_many_values_are_refused():
    with pytest.raises(TypeError, match="Line"):
        Line("a.py", 2, 3)
