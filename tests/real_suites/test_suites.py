import pytest

from tests.real_suites.suites import ON_UNITTEST, Suite, named


def test_modules_are_found_by_their_patterns(tmp_path):
    for name in ("a/test_one.py", "a/b/two_test.py", "a/other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    suite = Suite("x", None, ("a/test_*.py", "a/**/*_test.py", "**/test_*.py"))
    assert suite.modules(tmp_path) == ["a.b.two_test", "a.test_one"]


def test_a_module_without_the_text_is_left_out(tmp_path):
    (tmp_path / "test_one.py").write_text("Base")
    (tmp_path / "test_two.py").touch()
    assert Suite("x", None, ("*.py",), holding="Base").modules(tmp_path) == ["test_one"]


def test_a_source_without_tests_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="x: no file is like a.py or b.py; did its source come without tests?"):
        Suite("x", None, ("a.py", "b.py")).modules(tmp_path)


def test_all_suites_are_meant_where_none_is_named():
    assert named(ON_UNITTEST, []) == list(ON_UNITTEST)


def test_a_suite_that_there_is_not_is_refused():
    with pytest.raises(SystemExit, match="there is no suite 'nosuch'; there are: aioresponses, "):
        named(ON_UNITTEST, ["aiohttp", "nosuch"])


def test_each_suite_is_pinned():
    assert all("==" in suite.source for suite in ON_UNITTEST if suite.source)
