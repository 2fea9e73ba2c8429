import enum
import functools
import os
import re
import unittest
from unittest import mock

import pytest

import asyncunit
from asyncunit import AsyncTestCase, DefinitionError, fixture, param, parametrize
from asyncunit.plans.variants import combine, param_sets_of, parse_params
from tests.support import module_of, python, run, run_suite, write


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


def names_of(cls):
    return unittest.TestLoader().getTestCaseNames(cls)


# The tests.


def test_each_value_is_a_test():
    seen = []

    class Test(AsyncTestCase):
        @parametrize("a, b", [(1, 2), (3, 4)])
        async def test_async(self, a, b):
            seen.append((self._testMethodName, a, b))

        @parametrize(["c"], [(5,)])
        def test_sync(self, c, d=6):
            seen.append((self._testMethodName, c, d))

    result = run(Test)
    assert result.wasSuccessful()
    assert seen == [("test_async[1-2]", 1, 2), ("test_async[3-4]", 3, 4), ("test_sync[5]", 5, 6)]


def test_a_param_may_be_skipped_or_expected_to_fail():
    class Test(AsyncTestCase):
        @parametrize("a", [1, param(2, skip="why"), param(3, expected_failure=True)])
        async def test_x(self, a):
            assert a == 1

    result = run(Test)
    assert result.wasSuccessful()
    assert [(str(test), reason) for test, reason in result.skipped] == [(str(Test("test_x[2]")), "why")]
    assert len(result.expectedFailures) == 1


def test_a_test_with_no_value_is_one_skipped_test_that_says_so():
    class Test(AsyncTestCase):
        @parametrize("a", [])
        async def test_x(self, a): ...

    result = run(Test)
    ((test, reason),) = result.skipped
    assert test._testMethodName == "test_x[NOTSET]"
    assert re.fullmatch(
        r"there is no value to run it with: the params of 'a' are empty \(.*test_variants.py:\d+\)", reason
    )


def test_skips_and_settings_of_the_method_hold_for_all_its_tests():
    class Test(AsyncTestCase):
        @unittest.skip("above")
        @parametrize("a", [1, 2])
        async def test_x(self, a): ...

        @parametrize("a", [1, 2])
        @unittest.skip("below")
        async def test_y(self, a): ...

        @parametrize("a", [1])
        @asyncunit.settings(loop_debug=True)
        async def test_z(self, a):
            import asyncio

            assert asyncio.get_running_loop().get_debug()

    result = run(Test)
    assert result.wasSuccessful()
    assert [reason for _, reason in result.skipped] == ["above", "above", "below", "below"]


def test_decorators_that_fill_parameters_keep_working():
    def fill(function):
        @functools.wraps(function)
        async def wrapper(self, *args, **kwargs):
            return await function(self, *args, filled=3, **kwargs)

        return wrapper

    seen = []

    class Test(AsyncTestCase):
        @parametrize("a", [1])
        @mock.patch("os.getcwd")
        @fill
        async def test_x(self, getcwd, a, filled):
            seen.append((isinstance(getcwd, mock.Mock), a, filled))

    assert run(Test).wasSuccessful()
    assert seen == [(True, 1, 3)]


def test_mock_patch_on_a_class_reaches_its_generated_tests():
    @mock.patch("os.getcwd")
    class Test(AsyncTestCase):
        @parametrize("a", [1])
        async def test_x(self, getcwd, a):
            assert isinstance(getcwd, mock.Mock)

    assert run(Test).passed == ["test_x[1]"]


# Inheritance.


class Base(AsyncTestCase):
    @parametrize("a", [1, 2])
    async def test_x(self, a):
        assert a in (1, 2)


def test_generated_tests_are_inherited():
    class Test(Base): ...

    assert run(Test).passed == ["test_x[1]", "test_x[2]"]


def test_an_override_takes_the_place_of_all_of_them():
    class Test(Base):
        async def test_x(self):
            await super().test_x(2)

    class Other(Base):
        @parametrize("a", [2, 3])
        async def test_x(self, a): ...

    assert run(Test, Other).passed == ["test_x", "test_x[2]", "test_x[3]"]


def test_an_override_reaches_a_test_that_has_no_value():
    seen = []

    class Empty(AsyncTestCase):
        @parametrize("a", [])
        async def test_x(self, a):
            seen.append(a)

    class Test(Empty):
        async def test_x(self):
            await super().test_x(2)

    assert run(Test).passed == ["test_x"]
    assert seen == [2]


def test_a_test_without_a_value_of_one_of_its_params_uses_nothing_of_the_others():
    made = []

    class Test(AsyncTestCase):
        @fixture(params=[1, 2], autouse=False)
        def value(self, request):
            made.append(request.param)

        @parametrize("a, b", [])
        @parametrize("c", [param(1, skip="why")])
        async def test_x(self, value, a, b, c): ...

        @fixture(params=[], autouse=False)
        def nothing(self): ...

        def test_y(self, nothing): ...

    result = run(Test)
    assert result.raised == made == []
    assert [(test._testMethodName, reason.partition(":")[0]) for test, reason in result.skipped] == [
        ("test_x[NOTSET]", "there is no value to run it with"),
        ("test_y[NOTSET]", "there is no value to run it with"),
    ]


def test_a_subclass_may_take_a_test_out():
    class Test(Base):
        test_x = None

    assert names_of(Test) == []


def test_a_mixin_needs_no_base_class():
    class Mixin:
        @parametrize("a", [1, 2])
        async def test_x(self, a): ...

    class Test(Mixin, AsyncTestCase): ...

    assert run(Test).passed == ["test_x[1]", "test_x[2]"]
    assert callable(Mixin.test_x)


# Selection.


SUITE = """
    import asyncunit

    class Thing: ...

    class Test(asyncunit.AsyncTestCase):
        @asyncunit.parametrize("a", ["a.b", "c d", "..", "x[1]/2", Thing(), 1.25])
        async def test_x(self, a):
            self.assertIsNotNone(a)
"""


@pytest.mark.parametrize("text", ["a_b", "c d", "__", "x[1]/2", "a4", "1_25"])
def test_the_full_name_selects_a_test(tmp_path, text):
    write(tmp_path, module=SUITE)
    done = python("-m", "unittest", "-v", f"module.Test.test_x[{text}]", cwd=tmp_path)
    assert "Ran 1 test" in done.stderr
    assert f"test_x[{text}] (module.Test.test_x[{text}]) ... ok" in done.stderr


def test_the_bare_name_is_answered_with_the_names(tmp_path):
    write(tmp_path, module=SUITE)
    done = python("-m", "unittest", "module.Test.test_x", cwd=tmp_path)
    assert done.returncode == 1
    assert "module.Test.test_x has become 6 tests. Name one of them:\n  module.Test.test_x[a_b]\n" in done.stderr


def test_a_test_cannot_be_made_by_its_bare_name():
    with pytest.raises(ValueError, match=r"Base.test_x has become 2 tests. Name one of them:\n  .*Base.test_x\[1\]"):
        Base("test_x")


def test_text_selects_tests(tmp_path):
    write(tmp_path, module=SUITE)
    done = python("-m", "unittest", "-k", "test_x", "module", cwd=tmp_path)
    assert "Ran 6 tests" in done.stderr


def test_a_class_that_was_added_to_is_run_as_it_is():
    class Test(AsyncTestCase): ...

    async def test_late(self): ...

    Test.test_late = test_late
    assert run_suite(unittest.TestSuite([Test("test_late")])).passed == ["test_late"]


def test_a_function_that_is_no_plain_one_can_be_parametrized():
    class Call:
        def __init__(self):
            self.__name__ = self.__qualname__ = "test_x"

        def __call__(self, a):
            assert a == 1

    class Test(AsyncTestCase):
        test_x = parametrize("a", [1])(Call())

        @staticmethod
        @parametrize("a", [1])
        def test_y(a):
            assert a == 1

    assert run(Test).passed == ["test_x[1]", "test_y[1]"]


def test_an_override_reaches_a_callable_object_by_super():
    seen = []

    class Call:
        __name__ = __qualname__ = "test_x"

        def __call__(self, a):
            seen.append(a)

    class Base(AsyncTestCase):
        test_x = parametrize("a", [1, 2])(Call())

    class Test(Base):
        def test_x(self):
            super().test_x(5)

    assert run(Test).passed == ["test_x"]
    assert seen == [5]


# Found by trying to break it.


class Multiplied(AsyncTestCase):
    @fixture(params=["a", "b"])
    def value(self, request):
        return request.param

    def test_x(self):
        return None


def test_an_override_in_a_sibling_counts():
    class One(Multiplied): ...

    class Two(Multiplied):
        def test_x(self):
            seen.append(self.value)

    class Off(Multiplied):
        test_x = None

    class Both(One, Two):
        pass

    class Neither(One, Off):
        pass

    seen = []
    assert run(Both).wasSuccessful()
    assert seen == ["a", "b"]
    assert names_of(Neither) == []


def test_super_goes_on_along_the_bases():
    class One(Multiplied):
        @fixture(params=["c"])
        def value(self, request):
            return request.param

    class Two(Multiplied):
        def test_x(self):
            seen.append(self.value)

    class Both(One, Two):
        def test_x(self):
            super().test_x()

    seen = []
    assert run(Both).wasSuccessful()
    assert seen == ["c"]


def test_a_subclass_may_take_the_params_away():
    class One(Multiplied):
        @fixture
        def value(self):
            return "one"

    class Two(One): ...

    assert run(One, Two).passed == ["test_x", "test_x"]


def test_a_decorator_of_a_class_holds_for_its_subclasses():
    @mock.patch("os.getcwd", new=str)
    class Patched(AsyncTestCase):
        @parametrize("a", [1])
        def test_x(self, a):
            self.assertEqual(os.getcwd(), "")

    class Sub(Patched): ...

    assert run(Patched, Sub).passed == ["test_x[1]", "test_x[1]"]


def test_values_that_can_be_read_once_are_there_for_each_test():
    twice = parametrize("a", iter([1, 2]), ids=iter("xy"))

    class Test(AsyncTestCase):
        @twice
        def test_x(self, a): ...

        @twice
        def test_y(self, a): ...

    assert run(Test).passed == ["test_x[x]", "test_x[y]", "test_y[x]", "test_y[y]"]


def test_a_static_method_may_be_parametrized_on_either_side():
    seen = []

    class Test(AsyncTestCase):
        @staticmethod
        @parametrize("a", [1])
        def test_x(a=0):
            seen.append(a)

        @parametrize("a", [2])
        @staticmethod
        def test_y(a=0):
            seen.append(a)

    assert run(Test).wasSuccessful()
    assert seen == [1, 2]


def test_a_test_that_was_replaced_is_what_it_was_replaced_by():
    class Test(AsyncTestCase):
        @parametrize("a", [1])
        def test_x(self, a): ...

    Test.test_x = lambda self: None
    assert run(Test).passed == ["test_x", "test_x[1]"]


def test_a_partial_method_is_a_test_too():
    class Test(AsyncTestCase):
        @fixture(params=[1, 2])
        def value(self): ...

        def check(self, a):
            self.assertEqual(a, 5)

        test_x = functools.partialmethod(check, 5)

    assert run(Test).passed == ["test_x[1]", "test_x[2]"]


def test_a_bare_name_is_answered_for_the_class_that_was_asked():
    class Sub(Base): ...

    assert repr(Sub.test_x).endswith(f"{Sub.__module__}.{Sub.__qualname__}.test_x[2]")


def test_patches_of_a_class_and_of_a_method_go_together_for_each_variant():
    @mock.patch("os.getcwd")
    class Test(AsyncTestCase):
        @parametrize("a", [1, 2])
        @mock.patch("os.getpid")
        async def test_x(self, getpid, getcwd, a):
            assert getpid is os.getpid
            assert getcwd is os.getcwd

        @mock.patch("os.getpid")
        @parametrize("a", [1, 2])
        def test_y(self, getpid, getcwd, a):
            assert getpid is os.getpid
            assert getcwd is os.getcwd

    class Sub(Test): ...

    assert run(Test, Sub).passed == ["test_x[1]", "test_x[2]", "test_y[1]", "test_y[2]"] * 2


IN_ORDER = """
class Base(asyncunit.AsyncTestCase):
    @asyncunit.parametrize("n", [1, 2, 10, 11, 100])
    async def test_n(self, n): ...
    async def test_m(self): ...
    async def test_n_is_more(self): ...

class Test(Base):
    @asyncunit.parametrize("n", [11, 2, 1])
    async def test_n(self, n): ...
"""


def test_variants_are_loaded_as_their_values_are_written_and_all_else_as_ever():
    with module_of(IN_ORDER, "example_order") as module:
        loader = unittest.TestLoader()
        plain = ["test_m", "test_n_is_more"]
        first = ["test_n[1]", "test_n[2]", "test_n[10]", "test_n[11]", "test_n[100]"]
        assert loader.getTestCaseNames(module.Base) == [plain[0], *first, plain[1]]
        assert loader.getTestCaseNames(module.Test) == [plain[0], "test_n[11]", "test_n[2]", "test_n[1]", plain[1]]
        assert loader.getTestCaseNames(module.Base) == [plain[0], *first, plain[1]]


def test_a_loader_that_sorts_by_itself_goes_on_to_do_so():
    with module_of(IN_ORDER, "example_order") as module:
        loader = unittest.TestLoader()
        loader.sortTestMethodsUsing = lambda one, other: (one < other) - (one > other)
        assert loader.getTestCaseNames(module.Test) == [
            "test_n_is_more",
            "test_n[2]",
            "test_n[1]",
            "test_n[11]",
            "test_m",
        ]
