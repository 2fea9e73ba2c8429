import io
import json
import unittest

import pytest

from asyncunit.cases import plan_tree
from asyncunit.cases.plan_tree import Outline, as_json, as_text, of_suite, relative, takes_color
from asyncunit.cases.plan_tree import write as write_outline
from asyncunit.config.settings import Config
from tests.support import module_of, write

TEXT = """
import unittest
from asyncunit import load_tests

@asyncunit.fixture(scope="session")
async def pool(): ...

@asyncunit.fixture
def name(): ...

class TestShared(asyncunit.ClassLoopTestCase):
    async def test_x(self, name): ...

class TestOwn(asyncunit.AsyncTestCase):
    async def test_x(self): ...

class TestPlain(unittest.TestCase):
    def test_x(self): ...

async def test_wide(pool): ...
"""


@pytest.fixture
def outline():
    with module_of(TEXT, "example_outline") as module:
        yield of_suite(unittest.TestLoader().loadTestsFromModule(module), Config())


def test_the_tree_says_what_shares_which_loop_and_why_and_where_fixtures_are_set_up(outline):
    text = as_text(outline).replace(__file__, "FILE")
    lines = [line.partition(" of example_outline")[0] for line in text.splitlines()]
    assert lines == [
        "session",
        "│  fixtures: pool",
        "└─ package (modules outside any package)",
        "   └─ module example_outline",
        "      ├─ class TestOwn  on a loop for each test (by default)",
        "      │  └─ test_x",
        "      ├─ class TestPlain",
        "      │  └─ test_x",
        "      ├─ class TestShared  on the class loop (as example_outline.TestShared says)",
        "      │  └─ test_x  fixtures: name (sync)",
        "      └─ test_wide  on the session loop (inferred from the fixture 'pool'",
    ]


def test_the_tree_has_colours_where_they_are_asked_for(outline):
    assert "\033[32mthe class loop\033[0m" in as_text(outline, color=True)
    assert "\033" not in as_text(outline)


def test_the_tree_is_json_for_other_programs(outline):
    found = json.loads(as_json(outline))
    (package,) = found["children"]
    (module,) = package["children"]
    assert module["kind"] == "module"
    assert [child["name"] for child in module["children"]] == ["TestOwn", "TestPlain", "TestShared", "test_wide"]
    assert module["children"][-1]["loop"] == "session"
    assert found["fixtures"] == ["pool"]


def test_what_is_wrong_with_a_class_stands_in_its_place():
    text = """
class Test(asyncunit.AsyncTestCase):
    loop_scope = "function"
    async def test_x(self, late): ...

@asyncunit.fixture(scope="session")
async def late(): ...
"""
    with module_of(text, "example_wrong_outline") as module:
        drawn = as_text(of_suite(unittest.TestLoader().loadTestsFromModule(module), Config()))
    assert 'has loop_scope = "function", but the fixture' in drawn


def test_what_could_not_be_loaded_stands_in_its_place(tmp_path, monkeypatch):
    write(
        tmp_path,
        test_example_broken="import no_such_module\n",
        test_example_unmade="""
            import asyncunit
            from asyncunit import load_tests

            @asyncunit.parametrize("b", [1])
            async def test_x(a): ...
        """,
    )
    monkeypatch.syspath_prepend(tmp_path)
    drawn = of_suite(unittest.TestLoader().discover(str(tmp_path)), Config())
    assert drawn.has_errors
    broken, package = drawn.children
    assert (broken.kind, broken.name) == ("test", "test_example_broken")
    assert "No module named 'no_such_module'" in broken.error
    (module,) = package.children
    assert (module.name, [child.name for child in module.children]) == ("test_example_unmade", ["test_x"])
    assert "is parametrized by 'b', which is not one of its parameters: a." in module.children[0].error


def test_an_async_test_that_is_refused_stands_there_with_the_mend():
    text = """
from asyncunit import load_tests

class Plain(unittest.TestCase):
    async def test_x(self): ...
"""
    with module_of(text, "example_refused") as module:
        drawn = of_suite(unittest.TestLoader().loadTestsFromModule(module), Config())
    assert "Write asyncunit.AsyncTestCase as the base of Plain" in as_text(drawn)
    assert drawn.has_errors


def test_a_module_that_skips_itself_is_no_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, test_skips_itself="import unittest\nraise unittest.SkipTest('not here')\n")
    drawn = of_suite(unittest.TestLoader().discover(str(tmp_path)), Config())
    assert as_text(drawn).splitlines() == ["session", "└─ test_skips_itself"]
    assert not drawn.has_errors


def test_a_fixture_of_class_scope_is_each_functions_own():
    text = """
from asyncunit import load_tests

@asyncunit.fixture(scope="class")
async def of_class(): ...

async def test_x(of_class): ...
async def test_y(of_class): ...
"""
    with module_of(text, "example_functions_outline") as module:
        drawn = of_suite(unittest.TestLoader().loadTestsFromModule(module), Config())
    (module,) = drawn.children[0].children
    assert module.fixtures == []
    assert [child.fixtures for child in module.children] == [["of_class"], ["of_class"]]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "session\n├─ é\n│  ├─ b\n│  └─ c\n└─ d\n"),
        ("ascii", "session\n+- \\xe9\n|  +- b\n|  `- c\n`- d\n"),
    ],
)
def test_a_tree_is_drawn_with_what_the_stream_can_have(encoding, expected):
    outline = Outline("session", "")
    outline.child("test", "é").child("test", "b")
    outline.child("test", "é").child("test", "c")
    outline.child("test", "d")
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding, newline="\n", write_through=True) as stream:
        write_outline(outline, stream)
        assert written.getvalue().decode(encoding) == expected


def test_the_configuration_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(plan_tree, "load", lambda: read.append(1) or Config())
    with module_of(TEXT, "example_read") as module:
        of_suite(unittest.TestLoader().loadTestsFromModule(module))
    assert read == [1]


def test_a_child_is_made_once():
    outline = Outline("session", "")
    assert outline.child("module", "a") is outline.child("module", "a")
    outline.set_up(["x", "x"])
    outline.set_up(["x", "y"])
    assert outline.fixtures == ["x", "y"]


class Stream:
    def __init__(self, is_terminal):
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environ", "expected"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": ""}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_show_them(monkeypatch, is_terminal, environ, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert takes_color(Stream(is_terminal)) is expected


def test_paths_are_relative_to_where_python_imports_from(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    text = f"{tmp_path}/test_x.py:1 and {tmp_path}/site/test_y.py:2, but not /elsewhere/z.py:3"
    assert relative(text) == "test_x.py:1 and site/test_y.py:2, but not /elsewhere/z.py:3"
    monkeypatch.chdir("/")
    assert relative(f"{tmp_path}/site/test_y.py:2 of /elsewhere/z.py:3") == "test_y.py:2 of /elsewhere/z.py:3"
