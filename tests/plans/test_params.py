import enum
import re

import pytest

from asyncunit import AsyncTestCase, DefinitionError, param, parametrize
from asyncunit.plans.params import combine, param_sets_of, parse_params
from tests.support import python


class Colour(enum.Enum):
    RED = 1


def ids_of(values, ids=None, names=("a",)):
    return [each.id for each in parse_params(names, values, ids, "here")]


# Ids.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("a b", "a b"),
        ("1.5", "1_5"),
        ("line\nbreak\0", "line\\nbreak\\x00"),
        ("ü", "ü"),
        (b"a\xff", "a\\xff"),
        (1, "1"),
        (1.5, "1_5"),
        (1j, "1j"),
        (True, "True"),
        (None, "None"),
        (Colour.RED, "Colour_RED"),
        (re.compile("a+"), "a+"),
        (int, "int"),
        (python, "python"),
        ("", "a0"),
        (object(), "a0"),
        ([], "a0"),
    ],
)
def test_a_value_has_a_text_that_stands_for_it(value, text):
    assert ids_of([value]) == [text]


def test_several_names_make_one_id():
    assert ids_of([(1, object()), (2, "x")], names=("a", "b")) == ["1-b0", "2-x"]


def test_ids_are_a_list_or_a_callable_or_come_with_the_param():
    assert ids_of([1, 2, 3], ["one", None, 3.5]) == ["one", "2", "3_5"]
    assert ids_of([1, 2], iter(["one", "two"])) == ["one", "two"]
    assert ids_of([1, 2], lambda value: "one" if value == 1 else None) == ["one", "2"]
    assert ids_of([param(1, id="x"), param(2)], ["given", "two"]) == ["x", "two"]


def test_ids_that_are_the_same_are_told_apart():
    assert ids_of(["a", "a", "b"]) == ["a0", "a1", "b"]
    assert ids_of(["a", "a", "a0"]) == ["a1", "a2", "a0"]
    assert ids_of([1, 1, 1]) == ["1_0", "1_1", "1_2"]


def test_ids_that_become_the_same_in_combination_are_told_apart():
    @parametrize("b", ["c", "b-c"])
    @parametrize("a", ["a-b", "a"])
    def test_x(a, b): ...

    names = [variant.name for variant in combine("test_x", param_sets_of(test_x))]
    assert names == ["test_x[a-b-c0]", "test_x[a-b-b-c]", "test_x[a-c]", "test_x[a-b-c1]"]


def test_the_decorator_next_to_the_function_comes_first_and_the_outermost_varies_fastest():
    @parametrize("x", [0, 1])
    @parametrize("y", [2, 3])
    def test_x(x, y): ...

    names = [variant.name for variant in combine("test_x", param_sets_of(test_x))]
    assert names == ["test_x[2-0]", "test_x[2-1]", "test_x[3-0]", "test_x[3-1]"]


# What could be typed wrong.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parametrize("a b", [1]), "'a b' is not the name of a parameter"),
        (lambda: parametrize("a, a", [1]), "'a' is there twice"),
        (lambda: parametrize("", [1]), "names no parameter"),
        (lambda: parametrize(1, [1]), "expected names of parameters"),
        (lambda: parametrize("a", 1)(python), "the values are 1; expected a list"),
        (lambda: parametrize("a, b", [1])(python), "value 0 is 1; expected a tuple with one for each of a, b"),
        (lambda: parametrize("a, b", ["xy"])(python), "value 0 is 'xy'; expected a tuple"),
        (lambda: parametrize("a, b", [(1, 2), (1,)])(python), r"value 1 is \(1,\), of length 1"),
        (lambda: parametrize("a", [param(1, 2)])(python), "of length 2; expected one for each of a"),
        (lambda: parametrize("a", [1], ids="x")(python), "ids is 'x'; expected a list"),
        (lambda: parametrize("a", [1], ids=1)(python), "ids is 1; expected a list"),
        (lambda: parametrize("a", [1], ids=[])(python), "there are 1 values and 0 ids"),
        (lambda: parametrize("a", [1], ids=["x", "y"])(python), "there are 1 values and more ids"),
        (lambda: parametrize("a", [1], ids=[object()])(python), "the id of value 0 is <object"),
        (lambda: parametrize("a", [1], ids=lambda value: [])(python), r"ids\(1\) is \[\]; expected a text"),
        (lambda: parametrize("a", [1])(AsyncTestCase), "expected a test method"),
        (lambda: param(1, id=2), "id is 2; expected a string"),
        (lambda: param(1, skip=True), "skip is True; expected the reason, a string"),
        (lambda: param(1, expected_failure="no"), "expected_failure is 'no'; expected True or False"),
    ],
)
def test_what_does_not_go_together_is_refused(make, message):
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_name_that_is_not_a_parameter_is_refused_when_the_class_is_defined():
    with pytest.raises(
        DefinitionError, match=r"test_x \(.*:\d+\) is parametrized by 'valeu'.*: value. Did you mean 'v"
    ):

        class Test(AsyncTestCase):
            @parametrize("valeu", [1])
            async def test_x(self, value): ...


def test_a_name_that_is_parametrized_twice_is_refused():
    with pytest.raises(DefinitionError, match="is parametrized twice by 'a'"):

        class Test(AsyncTestCase):
            @parametrize("a", [1])
            @parametrize("a", [2])
            async def test_x(self, a): ...


def test_many_values_of_one_id_are_told_apart_in_no_time():
    assert ids_of(["x"] * 20_000)[-1] == "x19999"


def test_a_lazy_object_is_not_woken_for_its_id():
    class Lazy:
        def __getattr__(self, name):
            raise RuntimeError(name)

        @property
        def __class__(self):
            raise RuntimeError("__class__")

    assert ids_of([Lazy()]) == ["a0"]


def test_an_enum_of_texts_has_the_text():
    class Kind(enum.StrEnum):
        ONE = "one"

    assert ids_of([Kind.ONE]) == ["one"]
