"""The public names: handed on when they are first asked for."""

import ast

import pytest

import asyncunit
from tests.support import ROOT, python

PACKAGE = ROOT / "asyncunit"


def test_importing_asyncunit_imports_nothing_else_of_it(tmp_path):
    code = "import sys, asyncunit; print([name for name in sys.modules if name.startswith('asyncunit')])"
    assert python("-c", code, cwd=tmp_path).stdout == "['asyncunit']\n"


def test_what_few_suites_need_is_not_imported_with_the_test_cases(tmp_path):
    heavy = ["checks.slow_callbacks", "checks.unclosed_resources", "checks.left_threads", "loops.schedules"]
    heavy = [f"asyncunit.{name}" for name in (*heavy, "checks.left_callbacks", "loops.virtual_clock", "pytest_plugin")]
    code = f"import sys, asyncunit; asyncunit.AsyncTestCase; print([name for name in {heavy} if name in sys.modules])"
    assert python("-c", code, cwd=tmp_path).stdout == "[]\n"


def test_the_search_for_left_callbacks_is_imported_before_a_test_that_may_leave_some(tmp_path):
    """The test may have patched what an import needs."""
    (tmp_path / "test_it.py").write_text(
        "import sys, asyncunit\n\nclass TestIt(asyncunit.ClassLoopTestCase):\n    async def test_x(self):\n"
        "        assert 'asyncunit.checks.left_callbacks' in sys.modules\n"
    )
    assert "OK" in python("-m", "unittest", cwd=tmp_path).stderr


def test_every_public_name_is_handed_on_and_documented():
    assert asyncunit.__all__ == sorted(asyncunit._HOMES)
    for name in asyncunit.__all__:
        assert getattr(asyncunit, name).__doc__, name
    assert set(asyncunit.__all__) <= set(dir(asyncunit))


def test_type_checkers_see_the_same_public_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    names = {name: f"asyncunit.{home}" for name, home in asyncunit._HOMES.items()}
    assert seen == names | dict.fromkeys(asyncunit._MODULES, "asyncunit")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'asyncunit' has no attribute 'AsyncTestcase'"):
        _ = asyncunit.AsyncTestcase


def test_nothing_but_the_standard_library_is_imported(tmp_path):
    code = f"""
import sys, sysconfig
sys.path.insert(0, {str(ROOT)!r})
import asyncunit.cases.case
files = [module.__spec__.origin for module in sys.modules.values() if getattr(module, "__spec__", None)]
own = (sysconfig.get_path("stdlib"), {str(PACKAGE)!r}, "built-in", "frozen")
print([file for file in files if file and not file.startswith(own)])
"""
    assert python("-I", "-S", "-c", code, cwd=tmp_path).stdout == "[]\n"
