"""A run of another runner than unittest: it says which test it has come to, and closes the scopes that it leaves."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Hashable

from asyncunit import registry, runs
from asyncunit.config import Config
from asyncunit.contexts import changes, values_around, values_of
from asyncunit.errors import raise_all
from asyncunit.open_scopes import OpenScope
from asyncunit.registry import Registry
from asyncunit.scopes import Scope, ScopePath

__all__ = ["HostedRun"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class HostedRun(Registry):
    """The open scopes of a run that a host has, and what the host is to say of it.

    ``result`` and ``cls`` are those of the test that the host has come to, and ``paths`` the scopes around the
    modules that it knows of, by name. ``on_open`` is called with each scope that opens: the host is to close it, by
    `close_scope`. ``pending`` are errors that could not be raised where they came up, and that the host is still to
    report.
    """

    def __init__(self, config: Config, on_open: Callable[[OpenScope], object]) -> None:
        super().__init__(object(), lambda _, error: self.pending.append(error))
        self.config = config
        self.host = self
        self.result: object = None
        self.cls: type | None = None
        self.paths: dict[str, ScopePath] = {}
        self.pending: list[BaseException] = []
        self._around = values_around()
        self._on_open = on_open
        self.at_end(runs.let_go_of_process)
        registry.begin(self)

    def path_of_module(self, name: str) -> ScopePath:  # noqa: D102 - see the base
        return self.paths.get(name) or super().path_of_module(name)

    def open(self, scope: Scope, key: Hashable) -> OpenScope:  # noqa: D102 - see the base
        opened = super().open(scope, key)
        opened.around = self._around
        if scope is not Scope.FUNCTION:
            if scope is Scope.SESSION:
                opened.keep(Config, lambda: self.config, lambda _: None)
                opened.config = self.config
            self._on_open(opened)
        return opened

    def context_within(self, within: OpenScope | None) -> contextvars.Context:
        """What is set around the run now, and in front of it what was set in the scope since that opened."""
        context = contextvars.copy_context()
        self._around = values_of(context, self._around)
        if within is not None:
            changed_around = changes(within.around, self._around)
            for variable, value in changes(within.around, within.context).items():
                if variable not in changed_around:
                    context.run(variable.set, value)
        return context

    def catch_up(self, open_scope: OpenScope) -> None:
        """Have a scope see what was set around the run since it opened."""
        around = values_of(contextvars.copy_context(), open_scope.around)
        for variable, value in changes(open_scope.around, around).items():
            open_scope.context.run(variable.set, value)
        open_scope.around = around

    def close_scope(self, open_scope: OpenScope) -> None:
        """Close a scope, and those inside it; raises what that raised."""
        raise_all(self.leave(open_scope), f"closing {open_scope}")

    def take_pending(self) -> list[BaseException]:
        """The errors that are still to be reported, once."""
        pending, self.pending = self.pending, []
        return pending
