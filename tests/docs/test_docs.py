import ast
import re
import shutil

import pytest

from asyncunit import errors
from asyncunit.config.settings import CHECKS
from tests.docs import doc_names, reference
from tests.docs.doc_blocks import (
    PAGES,
    ROOT,
    RUNNERS,
    blocks_of,
    missing_lines,
    missing_packages,
    run,
    session,
    unknown_imports,
    write,
    write_suite,
)

KINDS = ("suite", "file", "needs", "output", "fails", "shown")


def title(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """The exit codes and what was printed when the suites of all pages ran, under each runner."""
    directory = tmp_path_factory.mktemp("suites")
    for page in PAGES:
        if not missing_packages(page):
            for block in blocks_of(page):
                if block.kind == "suite":
                    write_suite(block, directory)
    return [run(command, directory / f"for_{runner}") for runner, command in RUNNERS.items()]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_each_block_of_a_page_runs_under_the_runner_that_it_is_for(page, tmp_path, suites):
    if missing := missing_packages(page):
        for block in blocks_of(page):
            if block.language == "python":
                compile(block.text, block.where, "exec")
        pytest.skip(f"needs {', '.join(missing)}")
    output, code = "", None
    shutil.copy(doc_names.__file__, tmp_path / "app.py")
    for block in blocks_of(page):
        if block.kind == "suite":
            assert [printed for code, printed in suites if code != 0] == [], block.where
        elif block.kind == "file":
            write(block, tmp_path)
        elif block.kind == "needs":
            compile(block.text, block.where, "exec")
            assert unknown_imports(block) == [], block.where
        elif block.kind == "output":
            assert missing_lines(block.text, output) == [], f"{block.where}\n{output}"
        elif block.language == "sh" and block.kind in ("", "fails"):
            code, output = run(block.text, tmp_path)
            assert (code != 0) is (block.kind == "fails"), f"{block.where}\n{output}"
        elif block.language == "console" and not block.kind:
            for command, printed in session(block.text):
                code, output = run(command, tmp_path)
                assert (code, missing_lines(printed, output)) == (0, []), f"{block.where}\n{output}"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_each_block_of_code_says_what_it_is_for(page):
    for block in blocks_of(page):
        assert block.kind in ("", *KINDS), block.where
        assert block.kind or block.language in ("sh", "console", "toml", "ini"), f"{block.where}: no mark above it"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = page.parent / path if path else page
        assert file.exists(), f"{title(page)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{title(page)}: {target}"


def test_the_readme_has_its_two_commands_first_and_every_check_and_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [block.text for block in blocks_of(ROOT / "README.md") if block.language == "sh"]
    assert all(command.strip() in lines[:40] for command in commands)
    beyond_the_first_screen = "\n".join(lines).partition("## Why")[2]
    assert len(beyond_the_first_screen.split()) <= 850
    assert [check for check in CHECKS if f"| `{check}` |" not in beyond_the_first_screen] == []


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_pages_use_everyday_words(page):
    """They are for people who read English as a second language: no word that only the project itself uses."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)
    assert (
        re.findall(r"\b(?:mend\w*|stand-ins?|stands in|takers?|keepers?|in flight|peers?|half of a fixture)\b", text)
        == []
    )


def test_lines_of_output_are_told_from_others():
    printed = "test_x ... ok\n\nRan 1 test in 0.003s\n"
    assert missing_lines("test_x ... ok\nRan 1 test in 0.002s\n", printed) == []
    assert missing_lines("test_y ... ok\n", printed) == ["test_y ... ok"]
    assert missing_lines("Ran 1 test in 0.002s\ntest_x ... ok\n", printed) == ["test_x ... ok"]


def test_a_console_block_is_commands_and_what_each_prints():
    commands = session("$ python -m a\nok\n2 + $ 3\n$ python -m b\n")
    assert commands == [("python -m a", "ok\n2 + $ 3\n"), ("python -m b", "")]


def test_the_reference_is_what_the_code_says():
    """``python -m tests.docs.reference`` writes it anew."""
    page = reference.PAGE.read_text()
    assert reference.rewritten(page) == page


def test_the_picture_of_the_plan_is_what_is_drawn_of_the_example_suite():
    """``python -m tests.docs.reference`` writes it anew."""
    assert reference.PICTURE.read_text(encoding="utf-8") == reference.picture()


def test_the_reference_has_each_public_name():
    page = reference.PAGE.read_text()
    missing = [name for name in reference.asyncunit.__all__ if f"`{name}" not in page]
    assert missing == []


def _written(node):
    """The text of a message, as it stands in the code, with an ellipsis for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
    if isinstance(node, ast.BinOp):
        return _written(node.left) + _written(node.right)
    return "…"


def messages():
    """Each message of the code's, with the class of the error or the warning; without those made of parts elsewhere."""
    for path in sorted((ROOT / "asyncunit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors.__all__:
                text = " ".join(re.sub("…+", "…", _written(node.args[0])).split()) if node.args else "…"
                if len(text.strip("…: ")) > 0 and text != "…: the time of a step is over":
                    yield node.func.id, text


def rows():
    """The words of each row of docs/errors.md that is about an error of asyncunit's, with the class of that error."""
    page = (ROOT / "docs" / "errors.md").read_text()
    found = re.findall(r"^\| `([^`]+)` \| (\w+) \|", page, re.M)
    return [(name, words) for words, name in found if name in errors.__all__]


def test_each_message_is_found_in_one_row_of_the_page_of_errors_and_each_row_has_its_message():
    """Words without an ellipsis are part of one message, so that they can be searched for; others are all of one."""
    elsewhere = ("AsyncUnitWarning", "DeadlockError", "TestTimeoutError")  # whose texts are put together
    unused = {(name, words) for name, words in rows() if name not in elsewhere}
    for name, text in sorted(set(messages())):
        found = [
            (each, words)
            for each, words in rows()
            if each == name and (words == text or ("…" not in words and words in text))
        ]
        assert len(found) == 1, f"{name}: {text}\nis in these rows: {found}"
        unused -= set(found)
    assert unused == set()


def test_each_class_of_errors_is_on_the_page_of_errors():
    page = (ROOT / "docs" / "errors.md").read_text()
    for name in errors.__all__:
        assert f"`{name}`" in page or f"| {name} |" in page or f"asyncunit.{name}`" in page, name
