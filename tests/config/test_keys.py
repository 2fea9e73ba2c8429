import pytest

from asyncunit import ConfigurationError
from asyncunit.config import KEYS, MEANINGS, SETTINGS
from asyncunit.config.settings import CHECKS, Config, parse


def test_the_keys_stand_in_the_order_of_the_alphabet_and_each_is_explained_in_a_line():
    assert list(KEYS) == sorted(KEYS)
    assert all(meaning and "\n" not in meaning for meaning in MEANINGS.values())


def test_every_key_has_a_place_in_the_configuration():
    assert set(KEYS) <= set(Config.__annotations__)


@pytest.mark.parametrize("key", KEYS)
def test_what_is_written_for_every_key_is_parsed(key):
    with pytest.raises(ConfigurationError, match=f"^here: {key} is <object"):
        parse({key: object()}, "here")


def test_help_names_every_check_and_all_but_the_mode_can_be_said_of_one_test():
    assert MEANINGS["fail_on"].endswith(f"all (but slow_callbacks), or some of {', '.join(CHECKS)}")
    assert set(KEYS) - set(SETTINGS) == {"mode"}
