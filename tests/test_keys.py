import dataclasses

import pytest

from asyncunit import ConfigurationError
from asyncunit.config import Config
from asyncunit.keys import CHECKS, KEYS, MEANINGS, SETTINGS, Check
from asyncunit.parsing import parse


def test_the_keys_stand_in_the_order_of_the_alphabet_and_each_is_explained_in_a_line():
    assert list(KEYS) == sorted(KEYS)
    assert all(meaning and "\n" not in meaning for meaning in MEANINGS.values())


def test_every_key_has_a_place_in_the_configuration():
    assert set(KEYS) <= {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("key", KEYS)
def test_what_is_written_for_every_key_is_parsed(key):
    with pytest.raises(ConfigurationError, match=f"^here: {key} is <object"):
        parse({key: object()}, "here")


def test_help_names_every_check_and_all_but_the_mode_can_be_said_of_one_test():
    assert all(check in MEANINGS["fail_on"] for check in CHECKS)
    assert set(KEYS) - set(SETTINGS) == {"mode"}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_is_the_text_that_users_write_and_messages_show(check):
    assert check == str(check) == check.name.lower()
    assert repr(check) == repr(str(check))
    assert f"{check}" == check.name.lower()


def test_the_checks_stand_in_the_order_in_which_they_are_documented():
    assert list(Check) == [
        "unhandled_errors",
        "leaked_tasks",
        "unawaited_coroutines",
        "unclosed_resources",
        "slow_callbacks",
    ]
