"""What names an installed plug-in in a declaration."""

from msgspec import Struct

__all__ = ["Plugged", "Value"]

Value = str | int | float | bool


class Plugged(Struct, frozen=True, omit_defaults=True):
    """A plug-in by its name, with what it is given.

    Args:
        name: The name under which its package installed it.
        options: Its keyword arguments, in the order of their names.
    """

    name: str
    options: tuple[tuple[str, Value], ...] = ()

    @property
    def given(self) -> dict[str, Value]:
        """The options as keyword arguments."""
        return dict(self.options)

    def __str__(self) -> str:
        """As people read it: "weekday(column='day')"."""
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.options)})"
