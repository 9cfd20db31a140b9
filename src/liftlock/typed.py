"""What the images wing and the plain commands need of `typing`, without loading it.

For a type checker these are `typing`'s own. A run pays for them, though: loading `typing`, and its `NamedTuple`, which
parses every annotation and compiles every constructor, were together a fifth of all that a small copy computed.
"""

from __future__ import annotations

from operator import itemgetter
from types import GenericAlias

__all__ = [
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "Concatenate",
    "Final",
    "Literal",
    "NamedTuple",
    "NoReturn",
    "ParamSpec",
    "Protocol",
    "Self",
    "TextIO",
    "TypeVar",
    "cast",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        ClassVar,
        Concatenate,
        Final,
        Literal,
        NamedTuple,
        NoReturn,
        ParamSpec,
        Protocol,
        Self,
        TextIO,
        TypeVar,
        cast,
    )
else:

    class _OfAnnotations:
        """Stands for what only annotations say; ``Literal`` is asked for its values, too."""

        __class_getitem__ = classmethod(GenericAlias)

    Any = ClassVar = Concatenate = Final = Literal = NoReturn = Self = TextIO = _OfAnnotations
    Protocol = object

    class TypeVar:
        """Stands for a type in annotations."""

        def __init__(self, name: str, *, bound: object = None) -> None:
            pass

    ParamSpec = TypeVar

    def cast(_: object, value: Any) -> Any:
        """The value, whatever it is."""
        return value

    class _NamedFields(type):
        """Makes the annotated names of a class the names of its items."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            fields = tuple(namespace.get("__annotations__", ()))
            own = {
                "__slots__": (),
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": {field: namespace[field] for field in fields if field in namespace},
            }
            items = {field: property(itemgetter(position)) for position, field in enumerate(fields)}
            return super().__new__(cls, name, bases, {**namespace, **items, **own})

    class NamedTuple(tuple, metaclass=_NamedFields):
        """Behaves as `typing.NamedTuple` does."""

        __slots__ = ()

        def __new__(cls, /, *values: Any, **named: Any) -> Self:
            if named or len(values) != len(cls._fields):
                values = cls._complete(values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _complete(cls, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
            rest = cls._fields[len(values) :]
            known = {**cls._field_defaults, **named}
            if len(values) > len(cls._fields) or not named.keys() <= set(rest) <= known.keys():
                given = ", ".join([*map(repr, values), *named])
                raise TypeError(f"{cls.__name__} has the fields {', '.join(cls._fields)}; given were {given}")
            return (*values, *(known[field] for field in rest))

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            return f"{type(self).__name__}({', '.join(f'{name}={item!r}' for name, item in self._asdict().items())})"

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, /, **named: Any) -> Self:
            return type(self)(**{**self._asdict(), **named})
