from unittest import mock

import pytest

from asyncunit import AsyncTestCase
from asyncunit.plans.loop_choice import (
    CLASS_HOOKS,
    MODULE_HOOKS,
    class_hook,
    class_hooks,
    empty_hook,
    module_hook,
    module_hooks,
)
from tests.support import module_of


def test_a_class_has_the_hooks_that_it_or_a_mixin_writes():
    class Mixin:
        @classmethod
        async def asyncSetUpClass(cls): ...

    class Example(Mixin, AsyncTestCase): ...

    assert class_hooks(Example) == (Example.asyncSetUpClass, None)
    assert class_hook(Example) == "asyncSetUpClass"


def test_the_hooks_that_are_there_to_be_overridden_are_none():
    assert class_hooks(AsyncTestCase) == (None, None)
    assert class_hook(AsyncTestCase) is None
    assert all(callable(getattr(AsyncTestCase, name)) for name in CLASS_HOOKS)


@pytest.mark.parametrize("name", CLASS_HOOKS)
def test_a_mock_is_a_hook(name):
    cls = type("Example", (AsyncTestCase,), {name: mock.AsyncMock()})
    assert class_hook(cls) == name


def test_a_hook_is_empty_if_it_is_marked():
    @empty_hook
    async def hook(): ...

    assert class_hooks(type("Example", (), {"asyncSetUpClass": hook})) == (None, None)


@pytest.mark.parametrize("name", MODULE_HOOKS)
def test_a_module_has_the_hooks_that_stand_at_its_top(name):
    with module_of(f"async def {name}(): pass", "example") as module:
        assert module_hook("example") == name
        assert getattr(module, name) in module_hooks("example")


def test_a_module_that_is_not_there_has_none():
    assert module_hooks("no.such.module") == (None, None)
    assert module_hook("no.such.module") is None
