import asyncio
import collections
import functools
from unittest import mock

import pytest

import asyncunit
from asyncunit import AsyncTestCase, LoopScopeError, Scope, fixture, parametrize, settings
from asyncunit.config.settings import Config
from asyncunit.plans import class_plan
from asyncunit.plans.loop_choice import (
    CLASS_HOOKS,
    ask,
    choose,
    choose_for_module,
    class_hook,
    class_hooks,
    configs_of_tests,
    empty_hook,
)
from tests.support import module_of, run

CLASS_WITH_HOOK = """
    @classmethod
    async def {hook}(cls):
        pass
"""


def new_loop():
    return asyncio.SelectorEventLoop()


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_that_is_named_is_exact(scope):
    class Example(AsyncTestCase):
        loop_scope = str(scope)

    for configured in Scope:
        assert choose(Example, Config(loop_scope=configured)).scope is scope


@pytest.mark.parametrize(
    ("base", "scope"),
    [
        (asyncunit.ClassLoopTestCase, Scope.CLASS),
        (asyncunit.ModuleLoopTestCase, Scope.MODULE),
        (asyncunit.PackageLoopTestCase, Scope.PACKAGE),
        (asyncunit.SessionLoopTestCase, Scope.SESSION),
    ],
)
def test_each_of_the_family_only_names_its_scope(base, scope):
    class Example(base):
        pass

    assert choose(Example, Config()).scope is scope
    assert {name for name in vars(base) if not name.startswith("_")} == {"loop_scope", "setUpClass", "tearDownClass"}


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_that_is_not_named_is_at_least_the_configured_one(scope):
    class Example(AsyncTestCase):
        pass

    choice = choose(Example, Config(loop_scope=scope, sources={"loop_scope": "setup.cfg"}))
    assert choice.scope is scope
    assert choice.reason == "configured in setup.cfg"


def test_none_takes_an_inherited_scope_back():
    class Example(asyncunit.SessionLoopTestCase):
        loop_scope = None

    assert choose(Example, Config()).scope is Scope.FUNCTION


@pytest.mark.parametrize("hook", ["asyncSetUpClass", "asyncTearDownClass"])
def test_an_async_class_hook_asks_for_a_loop_of_the_class(hook):
    with module_of(f"class Example(asyncunit.AsyncTestCase):{CLASS_WITH_HOOK.format(hook=hook)}") as module:
        assert choose(module.Example, Config()).scope is Scope.CLASS
        assert choose(module.Example, Config()).reason == f"inferred from {hook}"
        assert choose(module.Example, Config(loop_scope=Scope.PACKAGE)).scope is Scope.PACKAGE


def test_a_hook_of_a_mixin_counts_and_the_empty_one_of_the_base_does_not():
    class Mixin:
        @classmethod
        async def asyncSetUpClass(cls):
            pass

    class Example(Mixin, AsyncTestCase):
        pass

    assert choose(Example, Config()).scope is Scope.CLASS


def test_an_async_hook_that_is_a_mock_is_awaited():
    class Example(AsyncTestCase):
        asyncSetUpClass = called = mock.AsyncMock()

        async def test_x(self): ...

    assert choose(Example, Config()).scope is Scope.CLASS
    assert run(Example).raised == []
    Example.called.assert_awaited_once_with()


def test_a_class_that_is_not_ours_asks_for_no_loop_of_its_module():
    source = """
        async def asyncSetUpModule(): pass
        class Elsewhere(unittest.IsolatedAsyncioTestCase):
            loop_scope = "whatever"
            loop_factory = staticmethod(asyncio.new_event_loop)
            @classmethod
            async def asyncSetUpClass(cls): pass
        class Example(asyncunit.AsyncTestCase): pass
    """
    with module_of(source, "example") as module:
        choice = choose_for_module("example", Config())
        assert (choice.scope, choice.factory) == (Scope.MODULE, None)
        assert choose(module.Example, Config()).scope is Scope.MODULE


@pytest.mark.parametrize("hook", ["asyncSetUpModule", "asyncTearDownModule"])
def test_an_async_module_hook_asks_for_a_loop_of_the_module(hook):
    source = f"async def {hook}(): pass\nclass Example(asyncunit.AsyncTestCase): pass"
    with module_of(source, "example") as module:
        assert choose(module.Example, Config()).scope is Scope.MODULE
        assert choose(module.Example, Config()).reason == f"inferred from example.{hook}"


def test_the_hooks_of_a_module_run_on_the_widest_loop_that_its_classes_ask_for():
    source = """
        async def asyncSetUpModule(): pass
        class Inferred(asyncunit.AsyncTestCase): pass
        class Wide(asyncunit.PackageLoopTestCase): pass
        from asyncunit import SessionLoopTestCase as Elsewhere
    """
    with module_of(source, "example") as module:
        assert choose_for_module("example", Config()).scope is Scope.PACKAGE
        assert choose(module.Inferred, Config()).scope is Scope.PACKAGE
        assert choose(module.Wide, Config()).scope is Scope.PACKAGE


def test_the_loop_of_a_module_is_chosen_once_and_not_for_each_of_its_classes(monkeypatch):
    counts = collections.Counter()
    plan_of = class_plan.plan_of

    def counting(cls):
        counts[cls] += 1
        return plan_of(cls)

    monkeypatch.setattr(class_plan, "plan_of", counting)
    classes = "\n".join(f"class Example{number}(asyncunit.AsyncTestCase): pass" for number in range(20))
    with module_of(f"async def asyncSetUpModule(): pass\n{classes}", "example") as module:
        config = Config()
        for number in range(20):
            assert choose(getattr(module, f"Example{number}"), config).scope is Scope.MODULE
    assert set(counts.values()) == {2}


def test_what_comes_after_the_loop_of_a_module_was_chosen_has_its_say():
    source = "async def asyncSetUpModule(): pass\nclass Example(asyncunit.AsyncTestCase): pass"
    with module_of(source, "example") as module:
        config = Config()
        assert choose(module.Example, config).scope is Scope.MODULE
        exec("class Late(asyncunit.PackageLoopTestCase): pass", vars(module))
        assert choose(module.Example, config).scope is Scope.PACKAGE
        assert choose(module.Example, Config(loop_scope=Scope.SESSION)).scope is Scope.SESSION
        ask(module.Example, class_plan.Demand(Scope.SESSION, fixture(lambda: None), "test_x"))
        assert choose_for_module("example", config).scope is Scope.SESSION
        ask(module.Example, class_plan.Demand(Scope.MODULE, fixture(lambda: None), "test_y"))
        assert choose(module.Example, config).scope is Scope.SESSION


def test_a_module_without_hooks_has_a_loop_if_a_class_of_it_has_one_that_lasts():
    with module_of("class Example(asyncunit.ClassLoopTestCase): pass", "narrow"):
        assert choose_for_module("narrow", Config()) is None
    with module_of("class Example(asyncunit.SessionLoopTestCase): pass", "wide"):
        assert choose_for_module("wide", Config()).scope is Scope.SESSION


@pytest.mark.parametrize("hook", ["asyncSetUpClass", "asyncTearDownClass"])
def test_a_class_hook_wider_than_the_named_scope_is_an_error_when_the_class_is_defined(hook):
    source = f"class Example(asyncunit.AsyncTestCase):\n    loop_scope = 'function'{CLASS_WITH_HOOK.format(hook=hook)}"
    with pytest.raises(LoopScopeError) as caught, module_of(source, "example"):
        pass
    assert str(caught.value) == (
        f'example.Example has loop_scope = "function", but example.Example.{hook} needs a loop that lasts for the '
        f'class. Write in Example:  loop_scope = "class"  or leave loop_scope out, and it is inferred.'
    )


def test_a_module_hook_wider_than_the_named_scope_is_an_error_with_the_mend():
    source = "async def asyncSetUpModule(): pass\nclass Example(asyncunit.ClassLoopTestCase): pass"
    with module_of(source, "example") as module, pytest.raises(LoopScopeError) as caught:
        choose(module.Example, Config())
    assert str(caught.value) == (
        'example.Example has loop_scope = "class" (from ClassLoopTestCase), but '
        "example.asyncSetUpModule needs a loop that lasts for the "
        'module. Write in Example:  loop_scope = "module"  or use AsyncTestCase as the base, and it is inferred.'
    )


def test_a_base_that_names_too_narrow_a_scope_is_named():
    source = """
        async def asyncSetUpModule(): pass
        class Base(asyncunit.AsyncTestCase):
            loop_scope = "class"
        class Example(Base): pass
    """
    with module_of(source, "example") as module, pytest.raises(LoopScopeError) as caught:
        choose(module.Example, Config())
    assert str(caught.value).endswith(" or leave loop_scope out of Base, and it is inferred.")


def test_the_name_of_a_class_may_have_braces_in_it():
    async def hook(cls): ...

    attributes = {"loop_scope": "function", "asyncSetUpClass": classmethod(hook)}
    with pytest.raises(LoopScopeError, match=r'Write in Test\{a\}:  loop_scope = "class"'):
        type("Test{a}", (AsyncTestCase,), attributes)


def timed(timeout):
    return settings(timeout=timeout)


def test_settings_hold_for_methods_of_each_kind():
    class Example(AsyncTestCase):
        @timed(1)
        async def test_plain(self): ...

        @staticmethod
        @timed(2)
        async def test_static_inside(): ...

        @timed(3)
        @staticmethod
        async def test_static_outside(): ...

        @timed(4)
        @classmethod
        async def test_of_class(cls): ...

        test_partial = timed(5)(functools.partialmethod(test_plain))
        test_inherits = functools.partialmethod(test_plain)

        @staticmethod
        @parametrize("a", [1])
        @timed(6)
        async def test_many(a): ...

        async def test_none(self): ...

    configs = configs_of_tests(Example, Config())
    assert {name: config.timeout for name, config in configs.items()} == {
        "test_plain": 1,
        "test_static_inside": 2,
        "test_static_outside": 3,
        "test_of_class": 4,
        "test_partial": 5,
        "test_inherits": 1,
        "test_many[1]": 6,
    }


def test_a_static_method_cannot_have_a_loop_scope_either():
    with pytest.raises(asyncunit.ConfigurationError, match="test_x has the setting loop_scope: "):

        class Example(AsyncTestCase):
            @staticmethod
            @settings(loop_scope="class")
            async def test_x(): ...


def test_a_class_that_names_another_loop_than_its_module_is_an_error_that_names_both():
    source = """
        async def asyncSetUpModule(): pass
        class Wide(asyncunit.SessionLoopTestCase): pass
        class Other(asyncunit.ModuleLoopTestCase): pass
    """
    with module_of(source, "example") as module, pytest.raises(LoopScopeError) as caught:
        choose(module.Other, Config())
    assert str(caught.value) == (
        "example.Other runs on the module loop (as example.Other says), but example.asyncSetUpModule runs on the "
        "session loop (as example.Wide says): the hooks of a module and its classes share one loop. Leave loop_scope "
        'and loop_factory out of Other, or write there what the other says, as in:  loop_scope = "session"'
    )


def test_a_class_with_another_factory_than_its_module_is_an_error_that_names_both():
    source = """
        async def asyncSetUpModule(): pass
        class First(asyncunit.ModuleLoopTestCase): pass
        class Other(asyncunit.AsyncTestCase): loop_factory = new_loop
    """
    with module_of(source, "example", new_loop=new_loop) as module:
        with pytest.raises(LoopScopeError, match="made by new_loop.*asyncSetUpModule runs on the module loop"):
            choose(module.Other, Config())


@pytest.mark.parametrize(
    "factory", [new_loop, staticmethod(new_loop), asyncio.SelectorEventLoop, classmethod(lambda cls: new_loop())]
)
def test_a_factory_is_not_turned_into_a_method(factory):
    class Example(AsyncTestCase):
        loop_factory = factory

    loop = choose(Example, Config()).factory()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


def test_a_factory_that_is_written_as_a_method_is_an_error_with_the_mend():
    with pytest.raises(asyncunit.ConfigurationError, match="requires the parameter 'self'.*write @staticmethod above"):

        class Example(AsyncTestCase):
            def loop_factory(self):
                return new_loop()


def test_a_class_without_a_factory_has_the_configured_one():
    class Example(AsyncTestCase):
        pass

    assert choose(Example, Config(loop_factory=new_loop)).factory is new_loop


def test_a_bad_scope_is_an_error_when_the_class_is_defined():
    with pytest.raises(asyncunit.ConfigurationError, match=r"Example\.loop_scope is 'clas'; .*Did you mean 'class'"):

        class Example(AsyncTestCase):
            loop_scope = "clas"


def test_nearest_wins_class_then_module_then_configured():
    source = """
        asyncunit_settings = asyncunit.settings(loop_scope="module", loop_debug=True)
        class Plain(asyncunit.AsyncTestCase): pass
        @asyncunit.settings(loop_scope="class", loop_debug=False)
        class Own(asyncunit.AsyncTestCase): pass
    """
    with module_of(source, "example") as module:
        plain, own = (choose(cls, Config(loop_scope=Scope.SESSION)) for cls in (module.Plain, module.Own))
    assert (plain.scope, plain.configs[0].loop_debug, plain.reason) == (
        Scope.MODULE,
        True,
        "configured in example.asyncunit_settings",
    )
    assert (own.scope, own.configs[0].loop_debug) == (Scope.CLASS, False)


def test_settings_may_say_a_scope_after_the_class_is_defined():
    @settings(loop_scope="class")
    class Example(AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            pass

    assert choose(Example, Config()).scope is Scope.CLASS


# The async hooks that have a say in it.


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


def test_a_single_loop_factory_needs_no_class_of_its_own():
    class Loop(asyncio.SelectorEventLoop):
        pass

    @asyncunit.settings(loop_factories={"mine": Loop})
    class TestX(AsyncTestCase):
        async def test_x(self):
            self.assertIsInstance(asyncio.get_running_loop(), Loop)

    assert run(TestX).wasSuccessful()
