"""Which event loop a class runs on, and why; the async hooks of classes, which have a say in it."""

from __future__ import annotations

import functools
import sys
import types
import unittest
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from asyncunit.config.settings import (
    CLASS_ATTRIBUTES,
    OF_LOOPS,
    Config,
    LoopFactory,
    config_of_module,
    parse_loop_factory,
    settings_of,
)
from asyncunit.errors import ConfigurationError, DefinitionError, LoopScopeError
from asyncunit.introspection.functions import (
    Hook,
    class_name,
    class_with_place,
    function_of,
    is_plain,
    members_of,
    module_hook,
)
from asyncunit.plans import class_plan as plans
from asyncunit.records import Record
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Function = TypeVar("Function", bound=Callable[..., Any])

CLASS_HOOKS = ("asyncSetUpClass", "asyncTearDownClass")


def empty_hook(function: Function) -> Function:
    """Mark an async class hook that is only there for overrides to call: nobody needs a loop for it."""
    function.is_empty_hook = True  # type: ignore[attr-defined]
    return function


def class_hooks(cls: type) -> tuple[Hook | None, Hook | None]:
    """The async set-up and tear-down hook of the class, None for one that it does not have."""
    set_up, tear_down = (getattr(cls, name, None) for name in CLASS_HOOKS)
    return _unless_empty(set_up), _unless_empty(tear_down)


def _unless_empty(hook: Hook | None) -> Hook | None:
    return None if getattr(hook, "is_empty_hook", False) is True else hook


def class_hook(cls: type) -> str | None:
    """The name of the first async hook that the class has, None if it has none."""
    return next((name for name, hook in zip(CLASS_HOOKS, class_hooks(cls), strict=True) if hook is not None), None)


# The name of the loop factory that a class was made for, where there are several.
CHOSEN = "_asyncunit_chosen"

# What the fixtures of another runner need that a class uses there.
_asked_by_pytest: weakref.WeakKeyDictionary[type, plans.Demand] = weakref.WeakKeyDictionary()

# What the test functions of each module ask for, by their names.
_asked_by_functions: weakref.WeakKeyDictionary[types.ModuleType, dict[str, Callable[[Config], LoopChoice]]]
_asked_by_functions = weakref.WeakKeyDictionary()

# What was chosen last for the hooks of each module, and under which configuration of the run: all of its classes ask.
_chosen_for_modules: weakref.WeakKeyDictionary[types.ModuleType, tuple[Config, LoopChoice | None]]
_chosen_for_modules = weakref.WeakKeyDictionary()


class LoopChoice(Record):
    """The loop that a class, or a module's hooks, run on: the scope that owns it, and what makes it.

    ``configs`` are the configurations in force for the class, for its module, and for what is wider. ``reason`` says
    why it is this one, in words that fit into a sentence. ``explicit`` is true where the class names its scope.
    """

    scope: Scope
    factory: LoopFactory | None
    configs: tuple[Config, Config, Config]
    reason: str
    explicit: bool

    def config_at(self, scope: Scope) -> Config:
        """The configuration in force at that level."""
        of_class, of_module, of_run = self.configs
        return of_class if scope <= Scope.CLASS else of_module if scope is Scope.MODULE else of_run

    def __str__(self) -> str:
        made_by = "" if self.factory is None else f", made by {_name(self.factory)}"
        return f"the {self.scope} loop ({self.reason}{made_by})"


def choose(cls: type, config: Config) -> LoopChoice:
    """The loop that ``cls`` runs on; raises LoopScopeError where something that it uses needs a wider one."""
    own = _choose_alone(cls, config)
    hook = module_hook(cls.__module__)
    if hook is None:
        return own
    shared = choose_for_module(cls.__module__, config)
    if shared is None or (own.scope, own.factory) == (shared.scope, shared.factory):
        return own
    if own.explicit and own.scope < Scope.MODULE:
        raise _too_narrow(cls, own.scope, f"{cls.__module__}.{hook}", Scope.MODULE)
    if own.explicit or own.factory is not shared.factory:
        raise LoopScopeError(
            f"{class_name(cls)} runs on {own}, but {cls.__module__}.{hook} runs on {shared}: the hooks of a module "
            f"and its classes share one loop. Leave loop_scope and loop_factory out of {cls.__qualname__}, or "
            f'write there what the other says, as in:  loop_scope = "{shared.scope}"'
        )
    return own.replace(scope=shared.scope, reason=f"inferred from {cls.__module__}.{hook}")


def choose_for_module(name: str, config: Config) -> LoopChoice | None:
    """The widest loop that a class defined in the module asks for, or a test function, on which its own hooks run.

    None where nothing asks for one that lasts for the module, and the module has no async hook to run on it.
    """
    module = sys.modules.get(name)
    known = None if module is None else _chosen_for_modules.get(module)
    if known is not None and known[0] is config:
        return known[1]
    choice = _choose_for_module(name, config)
    if module is not None:
        _chosen_for_modules[module] = config, choice
    return choice


def ask(cls: type, demand: plans.Demand) -> None:
    """Note what the fixtures of another runner need that the class uses there, where that is more than it was."""
    known = _asked_by_pytest.get(cls)
    if demand.scope > (Scope.FUNCTION if known is None else known.scope):
        _asked_by_pytest[cls] = demand
        _forget_module_of(cls)


def ask_for_function(module_name: str, name: str, choose_alone: Callable[[Config], LoopChoice]) -> None:
    """Note what a test function of a module asks for, whatever stands around it, by the configuration of the run."""
    module = sys.modules.get(module_name)
    if module is not None:
        _asked_by_functions.setdefault(module, {})[name] = choose_alone
        _chosen_for_modules.pop(module, None)


def ask_for_case(cls: type) -> None:
    """Note that a class is run which stands for a test function, and is not in its module."""
    ask_for_function(cls.__module__, cls.__qualname__, functools.partial(_choose_alone, cls))


def _forget_module_of(cls: type) -> None:
    """Have the loop of the class's module be chosen anew, because the class asks for something else now."""
    module = sys.modules.get(cls.__module__)
    if module is not None:
        _chosen_for_modules.pop(module, None)


def _choose_for_module(name: str, config: Config) -> LoopChoice | None:
    asked = [_choose_alone(cls, config) for cls in _classes_of(name)]
    has_hook = module_hook(name) is not None
    functions = _asked_by_functions.get(sys.modules[name], {}) if has_hook and name in sys.modules else {}
    of_functions = [choose_alone(config) for choose_alone in functions.values()]
    lasting = [choice for choice in (*asked, *of_functions) if choice.scope >= Scope.MODULE]
    if lasting:
        return max(lasting, key=lambda choice: (choice.scope, choice.explicit))
    if not has_hook:
        return None
    of_module = config_of_module(name, config)
    first = next(iter((*asked, *of_functions)), None)
    factory = of_module.clocked(of_module.loop_factory) if first is None else first.factory
    reason = f"inferred from {name}.{module_hook(name)}"
    return LoopChoice(Scope.MODULE, factory, (of_module, of_module, config), reason, explicit=False)


def check_class(cls: type) -> None:
    """Raise, when a class is defined, for what can be known to be wrong with its loop then."""
    _forget_module_of(cls)
    explicit = _explicit_scope(cls)
    parse_loop_factory(getattr(cls, "loop_factory", None), f"{class_name(cls)}.loop_factory")
    hook = class_hook(cls)
    if explicit is not None:
        plan = plans.planned(cls)
        _check_explicit(cls, explicit, hook, None if plan is None else plan.demand)
    for name, member in vars(cls).items():
        if is_plain(member) or not type(member).__dictoffset__:  # nothing is or can be written on it
            continue
        said = _settings_of_member(member)
        if not said:
            continue
        # The class of a function says the same as the function.
        of_class = dict(settings_of(cls))
        of_class |= {key: getattr(cls, key) for key in CLASS_ATTRIBUTES}
        wrong = [key for key in OF_LOOPS if key in said and said[key] != of_class.get(key)]
        if wrong and not isinstance(member, type):
            raise ConfigurationError(
                f"{class_name(cls)}.{name} has the setting {wrong[0]}: a single method cannot have it, because all "
                f"that is async about a class runs on one loop. Write it on {cls.__qualname__}."
            )


def configs_of_tests(cls: type, config: Config) -> dict[str, Config]:
    """The configuration of each method of a class that has settings of its own."""
    found = {}
    for name, member in members_of(cls).items():
        if is_plain(member) or type(member) not in _METHODS:
            continue
        if said := _settings_of_member(member):
            found[name] = config.merged(said, f"{class_name(cls)}.{name}")
    return found


# What a class may have as a method without calling an object of the user's.
_METHODS = (types.FunctionType, staticmethod, classmethod, functools.partialmethod)


def _settings_of_member(member: object) -> Mapping[str, Any]:
    """What is said of a member of a class, and of the function in it."""
    said = settings_of(member)
    inner: object = None
    if type(member) in (staticmethod, classmethod):
        inner = function_of(member)
    elif type(member) is functools.partialmethod:
        inner = member.func
    elif type(member) is types.FunctionType:
        inner = vars(member).get("__wrapped__")  # of a static test, where that has become many
    return said if inner is None else {**_settings_of_member(inner), **said}


def _choose_alone(cls: type, config: Config) -> LoopChoice:
    """What the class asks for, whatever stands around it in its module."""
    of_run, config = config, config_of_module(cls.__module__, config)
    own = config_of_class(cls, config)
    configs = (own, config, of_run)
    factory = own.clocked(_factory(cls, config))
    explicit = _explicit_scope(cls)
    hook = class_hook(cls)
    demand = plans.plan_of(cls).demand
    asked = _asked_by_pytest.get(cls)
    if asked is not None and (demand is None or demand.scope < asked.scope):
        demand = asked
    if explicit is not None:
        _check_explicit(cls, explicit, hook, demand)
        return LoopChoice(explicit, factory, configs, f"as {class_name(cls)} says", explicit=True)
    scope, reason = config.loop_scope, config.reason("loop_scope")
    if hook is not None and scope < Scope.CLASS:
        scope, reason = Scope.CLASS, f"inferred from {hook}"
    if demand is not None and scope < demand.scope:
        scope, reason = demand.scope, f"inferred from the {demand.fixture}"
    return LoopChoice(scope, factory, configs, reason, explicit=False)


def _check_explicit(cls: type, explicit: Scope, hook: str | None, demand: plans.Demand | None) -> None:
    if hook is not None and explicit < Scope.CLASS:
        raise _too_narrow(cls, explicit, f"{class_name(cls)}.{hook}", Scope.CLASS)
    if demand is not None and explicit < demand.scope:
        raise _too_narrow(cls, explicit, str(demand), demand.scope)


def config_of_class(cls: type, config: Config) -> Config:
    """The configuration in force for a class, ``config`` being that of its module."""
    return config.merged(settings_of(cls), class_name(cls))


def _explicit_scope(cls: type) -> Scope | None:
    value = getattr(cls, "loop_scope", None)
    return None if value is None else Scope.parse(value, f"{class_name(cls)}.loop_scope")


def _factory(cls: type, config: Config) -> LoopFactory | None:
    # Read from the class: from an instance, a plain function would come as a method.
    value = getattr(cls, "loop_factory", None)
    if value is None:
        return _only_factory(cls, config)
    return parse_loop_factory(value, f"{class_name(cls)}.loop_factory")


def _only_factory(cls: type, config: Config) -> LoopFactory | None:
    """The configured loop factory; raises DefinitionError where several have no class for each."""
    factories = config_of_class(cls, config).loop_factories
    if not isinstance(factories, Mapping) or getattr(cls, CHOSEN, None) is not None:
        return config.loop_factory
    if len(factories) == 1:
        [(name, only)] = factories.items()
        if callable(only):
            return only
        raise DefinitionError(f"{class_name(cls)} has the loop factory {name!r}, which is not there: {only}")
    raise DefinitionError(
        f"{class_name(cls)} has several loop_factories ({', '.join(factories)}), of which unittest's own loader knows "
        f"nothing. Write in the module:  from asyncunit import load_tests  or run  python -m asyncunit"
    )


def _classes_of(name: str) -> list[type]:
    """The async test classes that are defined in the module, in the order of their names there."""
    members = vars(sys.modules[name]).values() if name in sys.modules else ()
    return [
        member
        for member in members
        if isinstance(member, type)
        and issubclass(member, unittest.TestCase)
        and plans.planned(member) is not None
        and member.__module__ == name
    ]


def _too_narrow(cls: type, scope: Scope, what: str, needed: Scope) -> LoopScopeError:
    said_by = next((base for base in cls.__mro__ if vars(base).get("loop_scope") is not None), cls)
    source = "" if said_by is cls else f" (from {said_by.__qualname__})"
    other = "leave loop_scope out" if said_by is cls else f"leave loop_scope out of {said_by.__qualname__}"
    if said_by.__module__.partition(".")[0] == __name__.partition(".")[0]:
        other = "use AsyncTestCase as the base"
    fix: str = getattr(cls, "_asyncunit_fix", f'Write in {cls.__qualname__}:  loop_scope = "{{scope}}"')
    fix = fix.replace("{scope}", str(needed))  # there may be other braces in the name of the class
    return too_narrow(class_with_place(cls), f'"{scope}"{source}', what, needed, f"{fix}  or {other}")


def too_narrow(who: str, said: str, what: str, needed: Scope, fix: str) -> LoopScopeError:
    """The error for a loop scope that is named where something needs a wider one."""
    return LoopScopeError(
        f"{who} has loop_scope = {said}, but {what} needs a loop that lasts for the {needed}. {fix}, and it is "
        f"inferred."
    )


def _name(factory: LoopFactory) -> str:
    return getattr(factory, "__qualname__", None) or repr(factory)
