import ast
from pathlib import Path

import pytest

import asyncunit
from tests.support import ROOT, python

# The rooms of the house, each of which imports only from those before it.
HOUSE = [
    "keys",
    "detection",
    "errors",
    "scopes",
    "stacks",
    "signatures",
    "parsing",
    "config",
    "tracebacks",
    "stderr",
    "open_scopes",
    "owners",
    "contexts",
    "registry",
    "findings",
    "examples",
    "params",
    "variants",
    "fixtures",
    "graph",
    "plans",
    "parameter_notes",
    "hook_names",
    "loop_choice",
    "markers",
    "places",
    "taker",
    "adopted",
    "collected",
    "factories",
    "marking",
    "peers",
    "options",
    "signals",
    "debuggers",
    "watchdog",
    "foreign",
    "groups",
    "observers",
    "warned",
    "keepers",
    "resources",
    "slow",
    "runner",
    "checks",
    "awaitables",
    "jobs",
    "tasks",
    "scope_runner",
    "halves",
    "yields",
    "live",
    "values",
    "executing",
    "runs",
    "hooks",
    "suite",
    "registering",
    "open_tests",
    "running",
    "steps",
    "case",
    "mixins",
    "function_cases",
    "loader",
    "outline",
    "main",
    "__main__",
    "hosted",
    "debugging",
    "hosted_fixtures",
    "functions",
    "items",
    "pytest_plugin",
    "pytest_entry",
]
# These are there in every run of pytest, also in one without an async test.
WITHOUT_ASYNCIO = HOUSE[: HOUSE.index("options") + 1]
PACKAGE = ROOT / "asyncunit"


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "asyncunit":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncunit."):
            rooms.add(node.module.partition(".")[2])
    return rooms


def test_the_house_is_all_there_is():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*HOUSE, "__init__"}


@pytest.mark.parametrize("room", HOUSE)
def test_a_module_imports_only_from_those_above_it(room):
    assert imported_rooms(PACKAGE / f"{room}.py") <= set(HOUSE[: HOUSE.index(room)])


@pytest.mark.parametrize("room", HOUSE)
def test_a_module_has_a_test_module(room):
    room = "main" if room == "__main__" else room
    assert (ROOT / "tests" / f"test_{room}.py").exists()


def test_the_upper_rooms_import_no_asyncio(tmp_path):
    code = (
        f"import sys, {', '.join(f'asyncunit.{room}' for room in WITHOUT_ASYNCIO)}; assert 'asyncio' not in sys.modules"
    )
    assert python("-c", code, cwd=tmp_path).stderr == ""


def test_importing_asyncunit_imports_nothing_else_of_it(tmp_path):
    code = "import sys, asyncunit; print([name for name in sys.modules if name.startswith('asyncunit')])"
    assert python("-c", code, cwd=tmp_path).stdout == "['asyncunit']\n"


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
import asyncunit.case
files = [module.__spec__.origin for module in sys.modules.values() if getattr(module, "__spec__", None)]
own = (sysconfig.get_path("stdlib"), {str(PACKAGE)!r}, "built-in", "frozen")
print([file for file in files if file and not file.startswith(own)])
"""
    assert python("-I", "-S", "-c", code, cwd=tmp_path).stdout == "[]\n"
