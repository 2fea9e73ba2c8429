import sys
import unittest
import warnings

import pytest

import asyncunit
from asyncunit.plans.untaken import untaken
from tests.support import module_of

FUNCTIONS = """
@asyncunit.fixture
def number(): return 1

async def test_one(number): ...
def test_two(): ...
"""


def load(module, loader=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (loader or unittest.TestLoader()).loadTestsFromModule(module)
    return [(each.category, str(each.message)) for each in caught]


def test_a_module_of_functions_warns_when_unittest_loads_it():
    with module_of(FUNCTIONS, "example_untaken") as module:
        [(category, text)] = load(module)
        assert category is asyncunit.AsyncUnitWarning
        assert text.startswith("example_untaken has functions that look like tests (test_one and 1 more)")


@pytest.mark.parametrize("more", ["from asyncunit import load_tests", "del test_one, test_two"])
def test_it_does_not_warn_where_it_says_that_they_are_tests_and_where_there_are_none(more):
    with module_of(FUNCTIONS + more, "example_untaken_not") as module:
        assert load(module) == []


def test_it_does_not_warn_where_the_loader_takes_them():
    with module_of(FUNCTIONS, "example_taken") as module:
        assert load(module, asyncunit.AsyncTestLoader("auto")) == []


def test_another_attribute_that_is_not_there_is_pythons_own_error():
    with module_of(FUNCTIONS, "example_untaken") as module:
        with pytest.raises(AttributeError, match="module 'example_untaken' has no attribute 'nothing'"):
            _ = module.nothing
        assert untaken(sys.modules["example_untaken"], "check") is None


def test_a_module_may_have_a_getattr_of_its_own():
    with module_of("def __getattr__(name): return 5\n" + FUNCTIONS, "example_own") as module:
        assert module.anything == 5
