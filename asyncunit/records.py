"""Records: small classes of named values, as named tuples and dataclasses are, but soon defined."""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


@dataclass_transform(eq_default=False, frozen_default=True)
class Record:
    """The values that the annotations of a subclass name, given in that order or by name.

    A named tuple or a dataclass is compiled as it is defined, which takes ten times as long. There are some twenty, and
    each start of asyncunit would wait for them. A record is equal to no other.
    """

    _names: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls._names = tuple(cls.__annotations__)
        cls._defaults = {name: vars(cls)[name] for name in cls._names if name in vars(cls)}
        for name in cls._defaults:
            delattr(cls, name)  # what the class has as well is slow to read

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = vars(self)
        values.update(self._defaults)
        values.update(zip(self._names, args, strict=False))
        values.update(kwargs)
        if values.keys() != set(self._names) or len(args) > len(self._names):
            raise TypeError(f"{type(self).__name__}() takes {', '.join(self._names)}")

    def replace(self, **changes: Any) -> Self:
        """A record that differs from this one by these values."""
        return type(self)(**{**vars(self), **changes})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._names)})"
