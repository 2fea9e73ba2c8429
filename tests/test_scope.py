import sys

import pytest

from asyncunit import ConfigurationError, Scope
from asyncunit.scope import path_of_module
from tests.support import module_of


def test_scopes_are_ordered_from_narrow_to_wide():
    assert sorted(Scope) == [Scope.FUNCTION, Scope.CLASS, Scope.MODULE, Scope.PACKAGE, Scope.SESSION]


@pytest.mark.parametrize("scope", Scope)
def test_the_text_of_a_scope_is_what_users_write(scope):
    assert Scope.parse(str(scope), "here") is scope
    assert Scope.parse(scope, "here") is scope


@pytest.mark.parametrize("wrong", ["modul", "", 3, None, "Module"])
def test_what_is_no_scope_is_an_error_that_names_place_value_and_choices(wrong):
    with pytest.raises(ConfigurationError) as caught:
        Scope.parse(wrong, "setup.cfg: loop_scope")
    assert str(caught.value).startswith(f"setup.cfg: loop_scope is {wrong!r}; expected one of 'function', 'class'")


@pytest.mark.parametrize("wrong", ["modul", "MODULE"])
def test_a_near_miss_is_told_the_nearest_scope(wrong):
    with pytest.raises(ConfigurationError, match=r"Did you mean 'module'\?"):
        Scope.parse(wrong, "here")


def test_the_path_of_a_module_leads_from_the_session_to_it():
    assert path_of_module("tests.test_scope") == (
        (Scope.SESSION, None),
        (Scope.PACKAGE, "tests"),
        (Scope.MODULE, "tests.test_scope"),
    )


def test_modules_outside_any_package_share_one():
    with module_of("", "lonely"), module_of("", "other"):
        assert path_of_module("lonely")[1] == path_of_module("other")[1] == (Scope.PACKAGE, "")


def test_a_subpackage_is_not_its_parents_package():
    assert path_of_module("a.b.test_c")[1] == (Scope.PACKAGE, "a.b")
    assert path_of_module("a.test_c")[1] == (Scope.PACKAGE, "a")


def test_a_package_itself_belongs_to_itself():
    assert path_of_module("tests")[1] == (Scope.PACKAGE, "tests")
    assert sys.modules["tests"].__spec__.parent == "tests"
