"""Tools that take a test's id apart: they find the right class and name in it.

Each function does, in a few lines, what the published adapter of the tool does with an id.
"""

import unittest

import pytest

from tests.support import module_of

SUITE = """
@asyncunit.settings(loop_factories={"a.b": asyncio.SelectorEventLoop, "other": asyncio.SelectorEventLoop})
class TestLoops(asyncunit.AsyncTestCase):
    async def test_plain(self): ...

class TestMoney(asyncunit.AsyncTestCase):
    @asyncunit.parametrize("cents, text", [(5, "0.05"), (1.5, "a.b"), (1.5, "a_b"), (2, "two words")])
    async def test_text(self, cents, text): ...
    async def test_plain(self): ...
"""


def in_vs_code(test):
    """The Python extension's unittest adapter: the folders, the file, the class and the function of a test's node."""
    *folders, file, class_name, function = test.id().split(".")
    return "/".join([*folders, f"{file}.py"]), class_name, function


def in_pycharm(test):
    """The runner of PyCharm and TeamCity: the class comes from the test, its name is what follows the last dot."""
    cls = type(test)
    return f"{cls.__module__}.py", cls.__name__, test.id().split(".")[-1]


def in_xmlrunner(test):
    """unittest-xml-reporting: a space begins what a subtest adds."""
    first, *others = test.id().split(" ")
    module, _, class_name = first.rpartition(".")[0].rpartition(".")
    return f"{module}.py", class_name, " ".join([first.split(".")[-1], *others])


@pytest.mark.parametrize("tool", [in_vs_code, in_pycharm, in_xmlrunner])
def test_a_tool_finds_class_and_name_in_the_id(tool):
    with module_of(SUITE, "example_tools") as module:
        tests = unittest.TestLoader().loadTestsFromTestCase(module.TestMoney)
        assert [tool(test) for test in tests] == [
            ("example_tools.py", "TestMoney", name)
            for name in (
                "test_plain",
                "test_text[5-0_05]",
                "test_text[1_5-a_b0]",
                "test_text[1_5-a_b1]",
                "test_text[2-two words]",
            )
        ]


@pytest.mark.parametrize("tool", [in_vs_code, in_pycharm, in_xmlrunner])
def test_a_tool_finds_the_class_of_each_loop_factory(tool):
    with module_of(SUITE, "example_tools") as module:
        tests = module.asyncunit.AsyncTestLoader().loadTestsFromTestCase(module.TestLoops)
        found = [tool(test) for suite in tests for test in suite]
        assert found == [("example_tools.py", f"TestLoops[{name}]", "test_plain") for name in ("a_b", "other")]


def test_an_id_that_a_tool_was_given_selects_that_test():
    with module_of(SUITE, "example_tools") as module:
        for test in unittest.TestLoader().loadTestsFromTestCase(module.TestMoney):
            [found] = unittest.TestLoader().loadTestsFromName(test.id())
            assert found.id() == test.id()
