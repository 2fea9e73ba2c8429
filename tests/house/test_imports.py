"""The rooms of the house: a package imports only from those above it, and nothing goes in a circle."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

import asyncunit
from tests.support import ROOT, python

PACKAGE = ROOT / "asyncunit"
# Each package, and each module at the top, in the order of the house.
ORDER = [
    "errors",
    "records",
    "scope",
    "introspection",
    "config",
    "scopes",
    "plans",
    "loops",
    "checks",
    "lifecycle",
    "cases",
    "mixins",
    "__main__",
    "pytest_plugin",
    "pytest_entry",
]
# These are there in every run of pytest, also in one without an async test.
WITHOUT_ASYNCIO = ORDER[: ORDER.index("loops")]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
del MODULES["__init__"]


def imports_of(path: Path) -> set[str]:
    """The modules of asyncunit's that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "asyncunit":
            base = node.module.removeprefix("asyncunit").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                found.add(full if full in MODULES else base)
    return found - {""}


IMPORTS = {name: imports_of(path) for name, path in MODULES.items()}


def other_packages_imported(text: str) -> set[str]:
    """What is imported when the program runs, wherever in the module."""
    nodes = list(ast.walk(ast.parse(text)))
    for_types = [node for node in nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    left_out = {node for block in for_types for node in block.body}
    nodes = [node for node in nodes if node not in left_out]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_each_package_has_its_place():
    assert {name.partition(".")[0] for name in MODULES} == set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_a_package_imports_only_from_those_above_it(module):
    own = ORDER.index(module.partition(".")[0])
    assert not {other for other in IMPORTS[module] if ORDER.index(other.partition(".")[0]) > own}


def test_imports_go_in_no_circle():
    list(graphlib.TopologicalSorter(IMPORTS).static_order())


def test_the_house_is_not_deep():
    @functools.cache
    def depth(module: str) -> int:
        return 1 + max((depth(other) for other in IMPORTS[module]), default=0)

    assert max(depth(module) for module in MODULES) <= 18


def test_few_modules_are_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_there_are_few_modules():
    assert len([path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]) <= 60


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("pytest_plugin")])
def test_only_the_plugin_imports_pytest(module):
    assert not other_packages_imported(MODULES[module].read_text(encoding="utf-8")) & {"pytest", "_pytest"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] in WITHOUT_ASYNCIO])
def test_nothing_above_the_loops_imports_asyncio(module):
    assert "asyncio" not in other_packages_imported(MODULES[module].read_text(encoding="utf-8"))


def test_the_upper_packages_import_no_asyncio(tmp_path):
    names = [f"asyncunit.{name}" for name in MODULES if name.partition(".")[0] in WITHOUT_ASYNCIO]
    code = f"import sys, {', '.join(names)}; assert 'asyncio' not in sys.modules"
    assert python("-c", code, cwd=tmp_path).stderr == ""


def test_no_module_bears_a_public_name():
    assert not {name.rpartition(".")[2] for name in MODULES if "." not in name} & set(asyncunit.__all__)
    assert not {name.partition(".")[0] for name in MODULES} & set(asyncunit.__all__)


def test_no_module_is_taken_for_a_test():
    """unittest takes test*.py for one, and pytest *_test.py as well."""
    names = [name.rpartition(".")[2] for name in MODULES]
    assert not [name for name in names if name.startswith("test") or name.endswith("_test")]


def test_no_internal_module_lists_public_names():
    listing = {name for name, path in MODULES.items() if "__all__" in path.read_text(encoding="utf-8")}
    assert listing <= {"errors", "mixins", "pytest_entry", "pytest_plugin"}


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name])
def test_a_module_has_a_test_module(module):
    package, _, name = module.rpartition(".")
    tests = ROOT / "tests" / package.replace(".", "/")
    assert (tests / f"test_{name}.py").exists(), f"no test module for {module}"
