import asyncio
import traceback
import unittest

import pytest

import asyncunit
from asyncunit import AsyncTestLoader, DefinitionError
from asyncunit.cases.loader import (
    FailedFunction,
    FunctionTestCase,
    apart,
    case_of_function,
    cases_of,
    error_of,
    failing,
    flat,
    load_tests,
)
from asyncunit.config.settings import Config
from tests.support import Result, module_of, run, run_suite, write


def test_a_function_is_named_as_in_its_module():
    with module_of("async def test_x():\n    '''The first line.\n\n    Another one.'''\n", "example_named") as module:
        test = case_of_function(module, "test_x", module.test_x)("test_x")
    assert isinstance(test, FunctionTestCase)
    assert str(test) == "test_x (example_named.test_x)"
    assert repr(test) == "<example_named.test_x>"
    assert test.shortDescription() == "The first line."


@pytest.mark.parametrize(
    "text",
    [
        "@asyncunit.fixture(scope='class', autouse=True)\ndef of_class(): yield\n",
        "@asyncunit.settings(loop_scope='class')",
    ],
)
def test_what_has_the_scope_of_a_class_is_the_own_of_each_test_that_a_function_has_become(text):
    text += "\n@asyncunit.parametrize('a', [1, 2])\nasync def test_x(a): ...\n"
    with module_of(text, "example_apart") as module:
        case = case_of_function(module, "test_x", module.test_x)
        one, two = apart(case, ["test_x[1]", "test_x[2]"])
    assert [one.id(), two.id()] == ["example_apart.test_x[1]", "example_apart.test_x[2]"]
    assert type(one) is not type(two)


def test_the_tests_that_a_function_has_become_are_of_one_class_where_nothing_has_the_scope_of_one():
    with module_of("@asyncunit.parametrize('a', [1, 2])\nasync def test_x(a): ...\n", "example_together") as module:
        case = case_of_function(module, "test_x", module.test_x)
        assert [type(test) for test in apart(case, ["test_x[1]", "test_x[2]"])] == [case, case]


def test_a_function_that_could_not_be_made_a_test_is_named_as_one_and_raises_why():
    test = failing("example_failing", "test_x", DefinitionError("why"))
    assert isinstance(test, FailedFunction)
    assert str(test) == "test_x (example_failing.test_x)"
    assert str(run_suite(unittest.TestSuite([test])).only_error()) == str(error_of(test.test_x)) == "why"


def test_a_function_is_named_with_its_loop_factory_first():
    text = """
@asyncunit.settings(loop_factories={"one": asyncio.SelectorEventLoop, "two": asyncio.SelectorEventLoop})
@asyncunit.parametrize("a", [1])
async def test_x(a): ...
"""
    with module_of(text, "example_chosen") as module:
        cases = cases_of(case_of_function(module, "test_x", module.test_x), Config(), takes_all=False)
        assert [case("test_x[1]").id() for case in cases] == [
            "example_chosen.test_x[one-1]",
            "example_chosen.test_x[two-1]",
        ]


def test_the_configuration_that_is_given_says_which_loop_factories_there_are():
    class Test(asyncunit.AsyncTestCase):
        async def test_x(self): ...

    config = Config().merged({"loop_factories": {"a": asyncio.new_event_loop, "b": asyncio.new_event_loop}}, "here")
    assert [case.__name__ for case in cases_of(Test, config, takes_all=False)] == ["Test[a]", "Test[b]"]
    assert cases_of(Test, Config(), takes_all=False) == [Test]


def test_a_plain_class_with_an_async_test_is_one_that_refuses_or_awaits_it():
    class Plain(unittest.TestCase):
        async def test_x(self): ...

    (refusing,) = cases_of(Plain, Config(), takes_all=False)
    assert "Write asyncunit.AsyncTestCase as the base" in str(run(refusing).only_error())
    (awaiting,) = cases_of(Plain, Config(), takes_all=True)
    assert run(awaiting).passed == ["test_x"]
    for made in (refusing, awaiting):
        assert cases_of(made, Config(), takes_all=False) == [made]


def test_the_only_test_of_a_class_may_be_called_runtest():
    class Single(unittest.TestCase):
        async def runTest(self):
            self.fail("it ran")

    assert run(*cases_of(Single, Config(), takes_all=True)).errors_by_name == [("runTest", AssertionError)]
    assert "Single.runTest is an async function" in str(run(*cases_of(Single, Config(), takes_all=False)).only_error())


def test_a_test_that_only_raises_tells_its_error():
    error = ValueError()
    assert error_of(failing("example", "test_x", error).test_x) is error
    assert error_of(print) is None


def test_classes_that_run_their_own_async_tests_are_left_alone():
    class Own(unittest.TestCase):
        def __call__(self, result=None):
            return super().__call__(result)

        async def test_x(self): ...

    assert cases_of(Own, Config(), takes_all=True) == [Own]

    class Isolated(unittest.IsolatedAsyncioTestCase):
        async def test_x(self): ...

    assert cases_of(Isolated, Config(), takes_all=True) == [Isolated]


def test_settings_of_a_function_are_in_force_for_it():
    text = """
import asyncio
from asyncunit import load_tests

@asyncunit.settings(loop_scope="module", timeout=0.2)
async def test_slow(): await asyncio.Event().wait()

@asyncunit.settings(loop_scope="function")
async def test_narrow(wide): ...

@asyncunit.fixture(scope="session")
async def wide(): ...
"""
    with module_of(text, "example_settings") as module:
        found = dict(run_suite(unittest.TestLoader().loadTestsFromModule(module)).raised)
    assert isinstance(found["test_slow"], asyncunit.TestTimeoutError)
    (other,) = [error for error in found.values() if isinstance(error, asyncunit.LoopScopeError)]
    assert '@asyncunit.settings(loop_scope="session")' in str(other)


def test_what_is_wrong_with_a_function_is_the_error_of_a_test():
    text = """
from asyncunit import load_tests

@asyncunit.parametrize("b", [1])
async def test_x(a): ...
"""
    with module_of(text, "example_wrong") as module:
        (error,) = run_suite(unittest.TestLoader().loadTestsFromModule(module)).raised
    assert isinstance(error[1], DefinitionError)
    assert "is parametrized by 'b'" in str(error[1])


FUNCTIONS = """
from asyncunit import load_tests

order = []

@asyncunit.fixture(scope="module")
async def pool():
    yield asyncio.get_running_loop()

@asyncunit.fixture(params=[1, 2])
def number(request): return request.param

async def test_z_is_defined_first(pool):
    '''The first line.'''
    assert pool is asyncio.get_running_loop()

async def test_numbers(number): order.append(number)

def test_sync(pool): assert not pool.is_running()

async def test_own_loop(): order.append("own")

def helper(): pass

class TestCase(asyncunit.AsyncTestCase):
    async def test_method(self): pass
"""


def ids(suite):
    return [test.id() for test in flat(suite)]


def run_of_loader(suite):
    result = Result()
    suite.run(result)
    return result


@pytest.fixture
def module():
    with module_of("import asyncio\nimport unittest\n" + FUNCTIONS, "example_functions") as module:
        yield module


NAMES = [
    "example_functions.TestCase.test_method",
    "example_functions.test_z_is_defined_first",
    "example_functions.test_numbers[1]",
    "example_functions.test_numbers[2]",
    "example_functions.test_sync",
    "example_functions.test_own_loop",
]


@pytest.mark.parametrize("loader", [unittest.TestLoader(), AsyncTestLoader("strict"), AsyncTestLoader("auto")])
def test_the_functions_of_a_module_with_load_tests_are_tests_in_the_order_of_their_definition(module, loader):
    suite = loader.loadTestsFromModule(module)
    assert ids(suite) == NAMES
    result = run_of_loader(suite)
    assert (len(result.passed), result.raised) == (6, [])
    assert module.order == [1, 2, "own"]


def test_without_load_tests_functions_are_tests_in_auto_mode_only(module):
    del module.load_tests
    assert ids(unittest.TestLoader().loadTestsFromModule(module)) == NAMES[:1]
    assert ids(AsyncTestLoader("strict").loadTestsFromModule(module)) == NAMES[:1]
    assert ids(AsyncTestLoader("auto").loadTestsFromModule(module)) == NAMES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_numbers", NAMES[2:4]),
        ("test_numbers[2]", NAMES[3:4]),
        ("test_sync", NAMES[4:5]),
        ("TestCase.test_method", NAMES[:1]),
        ("TestCase", NAMES[:1]),
    ],
)
def test_our_loader_selects_by_the_name_of_a_function_and_of_a_variant(module, name, expected):
    assert ids(AsyncTestLoader("strict").loadTestsFromName(f"example_functions.{name}")) == expected


def test_a_variant_that_does_not_exist_is_answered_with_those_that_do(module):
    (error,) = run_of_loader(AsyncTestLoader("strict").loadTestsFromName("example_functions.test_numbers[3]")).raised
    assert str(error[1]) == (
        "there is no test 'example_functions.test_numbers[3]'; test_numbers is run as"
        "\n  example_functions.test_numbers[1]\n  example_functions.test_numbers[2]"
    )


def test_a_name_that_is_not_there_is_answered_as_unittest_does(module):
    (error,) = run_of_loader(AsyncTestLoader("strict").loadTestsFromName("example_functions.test_nothing")).raised
    assert isinstance(error[1], AttributeError)


def test_patterns_select_functions_by_their_ids(module):
    loader = unittest.TestLoader()
    loader.testNamePatterns = ["*numbers*"]
    assert ids(loader.loadTestsFromModule(module)) == NAMES[2:4]


def test_all_variants_of_a_test_of_a_class_are_selected_by_its_bare_name():
    text = """
class Test(asyncunit.AsyncTestCase):
    @asyncunit.parametrize("a", [1, 2])
    async def test_x(self, a): ...
"""
    with module_of(text, "example_variants"):
        assert ids(AsyncTestLoader().loadTestsFromName("example_variants.Test.test_x")) == [
            "example_variants.Test.test_x[1]",
            "example_variants.Test.test_x[2]",
        ]
        assert ids(AsyncTestLoader().loadTestsFromName("example_variants.Test.test_x[2]")) == [
            "example_variants.Test.test_x[2]"
        ]


def test_an_unknown_fixture_is_answered_with_those_there_are():
    text = "from asyncunit import load_tests\n\n@asyncunit.fixture\ndef value(): ...\n\nasync def test_x(valeu): ...\n"
    with module_of(text, "example_unknown") as module:
        (error,) = run_of_loader(unittest.TestLoader().loadTestsFromModule(module)).raised
    assert "Did you mean 'value'?" in error[1].__notes__[0]


def test_skips_and_expected_failures_of_functions_count():
    text = """
import unittest
from asyncunit import load_tests

@unittest.skip("not now")
async def test_skipped(): ...

@unittest.expectedFailure
async def test_expected(): assert False
"""
    with module_of(text, "example_skips") as module:
        result = run_of_loader(unittest.TestLoader().loadTestsFromModule(module))
    assert len(result.skipped) == len(result.expectedFailures) == 1


def test_a_package_with_load_tests_has_the_functions_of_all_its_modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "__init__": "from asyncunit import load_tests\n",
        "test_a": "async def test_one(): ...\n",
        "helper": "async def test_not_found(): ...\n",
        "inner/__init__": "",
        "inner/test_b": "def test_two(): ...\n",
    }.items():
        path = tmp_path / "example_package" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    expected = ["example_package.inner.test_b.test_two", "example_package.test_a.test_one"]
    assert ids(unittest.TestLoader().discover(str(tmp_path))) == expected
    assert ids(unittest.TestLoader().loadTestsFromName("example_package")) == expected


def test_a_module_of_a_package_that_cannot_be_loaded_is_one_test_as_in_unittests_own_discovery(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "example_partly"
    package.mkdir()
    write(
        package,
        __init__="from asyncunit import load_tests\n\ndef test_of_the_package(): ...\n",
        test_a="import unittest\nraise unittest.SkipTest('not here')\n",
        test_b="raise ValueError('broken')\n",
        test_c="def test_x(): ...\n",
        **{"test-dash": "raise ValueError('no module')\n"},
    )
    for suite in (unittest.TestLoader().discover(str(tmp_path)), AsyncTestLoader().loadTestsFromName(package.name)):
        result = run_of_loader(suite)
        assert [reason for _, reason in result.skipped] == ["not here"]
        assert "ValueError: broken" in str(result.only_error())
        assert result.passed == ["test_of_the_package", "test_x"]


def test_a_packages_load_tests_speaks_for_a_module_that_our_loader_is_given_alone(tmp_path, monkeypatch):
    package = tmp_path / "speaking"
    package.mkdir()
    (package / "__init__.py").write_text("from asyncunit import load_tests\n")
    (package / "test_alone.py").write_text("async def test_x(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    suite = AsyncTestLoader("strict").loadTestsFromName("speaking.test_alone")
    assert ids(suite) == ["speaking.test_alone.test_x"]


def test_load_tests_is_for_unittest_to_call():
    with pytest.raises(DefinitionError, match="leave it to unittest to call it: from asyncunit import load_tests"):
        load_tests(unittest.TestLoader(), unittest.TestSuite(), None)


class Plain(unittest.TestCase):
    __test__ = False

    def setUp(self):
        self.value = 1

    async def test_async(self):
        await asyncio.sleep(0)
        self.assertEqual(self.value, 2)

    def test_sync(self):
        pass


def test_async_tests_of_plain_test_cases_are_run_in_auto_mode():
    result = run_of_loader(AsyncTestLoader("auto").loadTestsFromTestCase(Plain))
    assert result.passed == ["test_sync"]
    assert result.errors_by_name == [("test_async", AssertionError)]


def test_in_strict_mode_they_are_errors_with_the_mend():
    result = run_of_loader(AsyncTestLoader("strict").loadTestsFromTestCase(Plain))
    assert result.passed == ["test_sync"]
    assert "Write asyncunit.AsyncTestCase as the base of Plain, or configure mode = auto." in str(result.only_error())


def test_a_mode_that_there_is_not_is_an_error():
    with pytest.raises(asyncunit.ConfigurationError, match="AsyncTestLoader: mode is 'atuo'; expected .* 'auto'?"):
        AsyncTestLoader("atuo")


def test_load_tests_refuses_and_awaits_them_as_our_loader_does(monkeypatch):
    text = """
from asyncunit import load_tests

class Test(unittest.TestCase):
    async def test_x(self): self.fail("it ran")
    def test_y(self): ...
"""
    with module_of(text, "example_plain") as module:
        result = run_of_loader(unittest.TestLoader().loadTestsFromModule(module))
        assert (result.errors_by_name, result.passed) == ([("test_x", DefinitionError)], ["test_y"])
        monkeypatch.setenv("ASYNCUNIT_MODE", "auto")
        result = run_of_loader(unittest.TestLoader().loadTestsFromModule(module))
        assert (result.errors_by_name, result.passed) == ([("test_x", AssertionError)], ["test_y"])


def test_the_error_of_a_function_that_is_no_test_shows_no_frame_of_how_it_was_found():
    text = '@asyncunit.parametrize("b", [1])\nasync def test_x(a): ...\n'
    with module_of(text, "example_no_test") as module:
        (error,) = run_of_loader(AsyncTestLoader("auto").loadTestsFromModule(module)).raised
    assert traceback.extract_tb(error[1].__traceback__)[-1].name == "fail"


def test_an_async_test_of_a_plain_test_case_is_refused_under_its_name_too():
    text = "class Test(unittest.TestCase):\n    async def test_x(self): ...\n"
    with module_of(text, "example_plain_name"):
        result = run_of_loader(AsyncTestLoader("strict").loadTestsFromName("example_plain_name.Test.test_x"))
    assert result.errors_by_name == [("test_x", DefinitionError)]


MANY = """
import asyncio
from asyncunit import load_tests

seen = []

class Special(asyncio.SelectorEventLoop): pass

asyncunit_settings = asyncunit.settings(loop_factories=FACTORIES)

class Test(asyncunit.ClassLoopTestCase):
    async def test_x(self): seen.append(type(asyncio.get_running_loop()).__name__)

async def test_function(): seen.append(type(asyncio.get_running_loop()).__name__)
"""


def test_each_test_is_run_once_with_each_of_several_loop_factories():
    text = MANY.replace("FACTORIES", "{'plain': asyncio.SelectorEventLoop, 'own': Special, 'gone': 'no_module:x'}")
    with module_of(text, "example_many") as module:
        suite = unittest.TestLoader().loadTestsFromModule(module)
        assert ids(suite) == [
            "example_many.Test[plain].test_x",
            "example_many.Test[own].test_x",
            "example_many.Test[gone].test_x",
            "example_many.test_function[plain]",
            "example_many.test_function[own]",
            "example_many.test_function[gone]",
        ]
        result = run_of_loader(suite)
        assert module.seen == [asyncio.SelectorEventLoop.__name__, "Special"] * 2
    assert [reason.partition(" cannot")[2] for _, reason in result.skipped] == [
        " be imported: No module named 'no_module'"
    ] * 2


DOTTED = """
@asyncunit.settings(loop_factories={"one": asyncio.SelectorEventLoop, "a.b": asyncio.SelectorEventLoop})
class TestMany(asyncunit.AsyncTestCase):
    @asyncunit.parametrize("a", [1.5, "[.]"])
    async def test_x(self, a): ...
    def test_y(self): ...

class TestOne(asyncunit.AsyncTestCase):
    @asyncunit.parametrize("a", [1.5, "[.]"])
    async def test_x(self, a): ...
    @staticmethod
    def suite(): return TestOne("test_x[1_5]")
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TestOne.test_x[1_5]", ["TestOne.test_x[1_5]"]),
        ("TestOne.test_x[[_]]", ["TestOne.test_x[[_]]"]),
        ("TestOne.suite", ["TestOne.test_x[1_5]"]),
        ("TestMany.test_x[1_5]", ["TestMany[one].test_x[1_5]", "TestMany[a_b].test_x[1_5]"]),
        ("TestMany[one].test_x[[_]]", ["TestMany[one].test_x[[_]]"]),
        ("TestMany[a_b].test_x[1_5]", ["TestMany[a_b].test_x[1_5]"]),
        ("TestMany[a_b].test_x", ["TestMany[a_b].test_x[1_5]", "TestMany[a_b].test_x[[_]]"]),
        ("TestMany[a_b].test_y", ["TestMany[a_b].test_y"]),
        ("TestMany[a_b]", ["TestMany[a_b].test_x[1_5]", "TestMany[a_b].test_x[[_]]", "TestMany[a_b].test_y"]),
    ],
)
def test_names_have_no_dots_in_their_brackets(name, expected):
    with module_of(DOTTED, "example_dots") as module:
        expected = [f"example_dots.{each}" for each in expected]
        assert ids(AsyncTestLoader().loadTestsFromName(f"example_dots.{name}")) == expected
        assert ids(AsyncTestLoader().loadTestsFromName(name, module)) == expected


@pytest.mark.parametrize("name", ["TestOne.test_x[2]", "TestMany[two]", "TestMany[two].test_y", "TestMany.test_z"])
def test_a_name_of_a_class_that_nothing_has_is_an_error(name):
    with module_of(DOTTED, "example_no_such"):
        assert isinstance(
            run_of_loader(AsyncTestLoader().loadTestsFromName(f"example_no_such.{name}")).only_error(), AttributeError
        )


def test_one_loop_factory_adds_no_id():
    with module_of(MANY.replace("FACTORIES", "{'own': Special}"), "example_one") as module:
        suite = unittest.TestLoader().loadTestsFromModule(module)
        assert ids(suite) == ["example_one.Test.test_x", "example_one.test_function"]
        run_of_loader(suite)
        assert module.seen == ["Special"] * 2


def test_several_loop_factories_are_an_error_where_nobody_makes_a_class_for_each():
    text = MANY.replace("FACTORIES", "{'a': Special, 'b': Special}").replace("from asyncunit import load_tests", "")
    with module_of(text, "example_unmade") as module:
        (error,) = run_of_loader(unittest.TestLoader().loadTestsFromModule(module)).raised
    assert "from asyncunit import load_tests  or run  python -m asyncunit" in str(error[1])


def test_functions_have_a_say_in_the_loop_of_the_hooks_of_their_module():
    text = """
class Loop(asyncio.SelectorEventLoop): pass

loops = []
def note(): loops.append(asyncio.get_running_loop())

async def asyncSetUpModule(): note()
@asyncunit.fixture(scope="session")
async def pool(): note()
async def test_1(): note()
async def test_2(pool): note()
"""
    with module_of(text, "example_say") as module:
        result = run_of_loader(AsyncTestLoader("auto").loadTestsFromModule(module))
        assert (len(result.passed), result.raised) == (2, [])
        assert len(module.loops) == 4
        assert len(set(module.loops)) == 1
    text = text.replace(
        "async def test_2(pool): note()", "asyncunit_settings = asyncunit.settings(loop_factories={'one': Loop})"
    )
    with module_of(text, "example_say") as module:
        result = run_of_loader(AsyncTestLoader("auto").loadTestsFromModule(module))
        assert (len(result.passed), result.raised) == (1, [])
        assert {type(loop) for loop in module.loops} == {module.Loop}
