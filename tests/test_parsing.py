import pytest

from asyncunit import ConfigurationError
from asyncunit.keys import CHECKS
from asyncunit.parsing import parse


def parsed(key, value):
    return parse({key: value}, "here")[key]


@pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), (0.5, 0.5), ("2.5", 2.5), (None, None), ("None", None)])
def test_a_timeout_is_a_number_of_seconds_or_none(value, seconds):
    assert parsed("timeout", value) == seconds


@pytest.mark.parametrize("value", [0, -1, "soon", "", True, "inf", float("nan"), [5]])
def test_any_other_timeout_is_an_error(value):
    with pytest.raises(ConfigurationError) as caught:
        parsed("timeout", value)
    assert str(caught.value) == f"here: timeout is {value!r}; expected a number of seconds above 0, or 'none'."


@pytest.mark.parametrize(
    ("value", "checks"),
    [
        ("all", CHECKS),
        (["all"], CHECKS),
        ([], ()),
        ("", ()),
        (None, ()),
        ("leaked_tasks", ["leaked_tasks"]),
        ("leaked_tasks, slow_callbacks", ["leaked_tasks", "slow_callbacks"]),
        ("\nleaked_tasks\nslow_callbacks\n", ["leaked_tasks", "slow_callbacks"]),
        (("leaked_tasks",), ["leaked_tasks"]),
        ({"slow_callbacks"}, ["slow_callbacks"]),
    ],
)
def test_fail_on_is_a_list_of_checks_or_all_or_empty(value, checks):
    assert parsed("fail_on", value) == set(checks)


def test_an_unknown_check_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigurationError) as caught:
        parsed("fail_on", ["leaked_task"])
    assert str(caught.value) == (
        "here: fail_on has 'leaked_task'; expected 'all', or some of unhandled_errors, leaked_tasks, "
        "unawaited_coroutines, unclosed_resources, slow_callbacks. Did you mean 'leaked_tasks'?"
    )
    with pytest.raises(ConfigurationError, match="Write 'all' alone"):
        parsed("fail_on", ["all", "leaked_tasks"])


@pytest.mark.parametrize("value", [3, True, {"leaked_tasks": True}, [3], [""]])
def test_what_is_no_list_of_texts_is_an_error(value):
    with pytest.raises(ConfigurationError, match=r"here: fail_on is .*; expected a list of unhandled_errors, "):
        parsed("fail_on", value)
    with pytest.raises(ConfigurationError, match=r"here: background_tasks is .*; expected a list of patterns, as in"):
        parsed("background_tasks", value)


def test_background_tasks_are_patterns():
    assert parsed("background_tasks", ["pymongo.*", "app.pool.*"]) == ("pymongo.*", "app.pool.*")
    assert parsed("background_tasks", "pymongo.* app.pool.*") == ("pymongo.*", "app.pool.*")
