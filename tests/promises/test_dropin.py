"""CPython's own tests of IsolatedAsyncioTestCase, with the base class replaced."""

import unittest
from pathlib import Path

import pytest

from tests.support import module_of, run_suite

# Failing by design, each with its reason in docs/differences.md.
BY_DESIGN = {"test_deprecation_of_return_val_from_test"}

LIBRARY = Path(unittest.__file__).parent
PLACES = [LIBRARY / "test", LIBRARY.parent / "test" / "test_unittest"]


@pytest.mark.parametrize("base", ["AsyncTestCase", "ClassLoopTestCase"])
@pytest.mark.filterwarnings("ignore")
def test_the_standard_librarys_tests_pass_but_for_those_that_differ_by_design(base):
    found = [path for place in PLACES if (path := place / "test_async_case.py").exists()]
    if not found:
        pytest.skip("this Python came without its tests")
    source = found[0].read_text(encoding="utf-8").replace("unittest.IsolatedAsyncioTestCase", f"asyncunit.{base}")
    with module_of(source, "replaced_async_case", __file__="replaced_async_case.py") as module:
        result = run_suite(unittest.TestLoader().loadTestsFromModule(module))
    assert result.testsRun >= 13
    assert {name for name, _ in result.raised} <= BY_DESIGN
