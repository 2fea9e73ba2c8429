import json

from tests.real_suites.outcomes import (
    ABSENT,
    STARTED,
    Difference,
    Outcome,
    compare,
    counted,
    read_junit,
    read_outcomes,
    told,
)


def lines(*entries):
    return [json.dumps(entry) for entry in entries]


def test_a_test_that_passes_has_the_word_of_its_end():
    assert read_outcomes(lines(["a", STARTED, ""], ["a", "passed", ""])) == {"a": Outcome("passed")}


def test_the_first_word_that_is_not_a_pass_counts():
    found = read_outcomes(lines(["a", STARTED, ""], ["a", "failed", "one"], ["a", "error", "two"], ["a", "passed", ""]))
    assert found == {"a": Outcome("failed", "one")}


def test_an_error_after_the_pass_counts():
    assert read_outcomes(lines(["a", "passed", ""], ["a", "error", "late"]))["a"] == Outcome("error", "late")


def test_a_test_without_an_end_is_told_as_such():
    assert read_outcomes(lines(["a", STARTED, ""]))["a"].word == STARTED


def test_only_words_are_compared():
    before = {"a": Outcome("error", "at 0x1"), "b": Outcome("passed")}
    after = {"a": Outcome("error", "at 0x2"), "b": Outcome("error", "new")}
    assert compare(before, after) == [Difference("b", Outcome("passed"), Outcome("error", "new"))]


def test_a_test_of_one_run_only_differs():
    assert [(d.before.word, d.after.word) for d in compare({"a": Outcome("passed")}, {"b": Outcome("passed")})] == [
        ("passed", ABSENT),
        (ABSENT, "passed"),
    ]


def test_what_differs_alike_in_several_runs_is_told_once():
    alike = [Difference("a", Outcome("passed"), Outcome("error", detail)) for detail in ("why", "the same, at 0x1")]
    assert list(told({"class": alike[:1], "session": alike[1:]})) == [
        "[class, session] a",
        "    before: passed",
        "    after:  error: why",
    ]


def test_tests_that_did_not_run_are_counted():
    absent = [Difference(name, Outcome("passed"), Outcome(ABSENT)) for name in "ab"]
    assert list(told({"class": absent})) == ["[class] 2 tests did not run"]


def test_outcomes_are_counted_by_word():
    assert (
        counted({"a": Outcome("passed"), "b": Outcome("error"), "c": Outcome("passed")}) == "3 tests: 1 error, 2 passed"
    )


def test_a_run_without_outcomes_is_told():
    assert counted({}) == "no tests"


JUNIT = """<testsuites><testsuite>
<testcase classname="m.Test" name="a"/>
<testcase classname="m" name="b"><failure message="first&#10;second"/></testcase>
<testcase classname="m" name="c"/><testcase classname="m" name="c"><error message="tear-down"/></testcase>
<testcase classname="m" name="d"><skipped message="why"/></testcase>
</testsuite></testsuites>"""


def test_what_pytest_reports_is_read():
    assert read_junit(JUNIT) == {
        "m.Test.a": Outcome("passed"),
        "m.b": Outcome("failed", "first"),
        "m.c": Outcome("error", "tear-down"),
        "m.d": Outcome("skipped", "why"),
    }
