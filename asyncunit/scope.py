"""The five scopes, and the path of scopes that a test stands in."""

from __future__ import annotations

import enum
import sys
from collections.abc import Hashable

from asyncunit.errors import ConfigurationError, did_you_mean

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Scope(enum.IntEnum):
    """How far something is shared: pytest's fixture scopes, ordered from narrow to wide."""

    FUNCTION = 0
    CLASS = 1
    MODULE = 2
    PACKAGE = 3
    SESSION = 4

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, value: object, where: str) -> Scope:
        """The scope that a user wrote at ``where``; raises ConfigurationError if there is none such."""
        if isinstance(value, Scope):
            return value
        names = [str(scope) for scope in cls]
        if isinstance(value, str) and value in names:
            return cls(names.index(value))
        hint = did_you_mean(value.lower(), names) if isinstance(value, str) else ""
        raise ConfigurationError(f"{where} is {value!r}; expected one of {', '.join(map(repr, names))}.{hint}")


# The scopes from the session inwards, each with what tells it from its siblings.
ScopePath = tuple[tuple[Scope, Hashable], ...]


def path_of_module(name: str) -> ScopePath:
    """The scopes around the module of this name, and its own."""
    return (
        (Scope.SESSION, None),
        (Scope.PACKAGE, _package_of(name)),
        (Scope.MODULE, name),
    )


def _package_of(name: str) -> str:
    """The package that the module belongs to; one empty name for the modules outside any."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    parent = name.rpartition(".")[0] if spec is None else spec.parent
    return parent or ""
