"""Who acts."""

from typing import Literal

from msgspec import Struct

__all__ = ["Actor"]


class Actor(Struct, frozen=True):
    """Somebody or something that acts.

    Args:
        name: A person's or service's name.
        kind: "simulated" marks a person that a demonstration plays; it is shown wherever the name is.
        roles: The roles held, by name.
    """

    name: str
    kind: Literal["person", "service", "simulated"] = "person"
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The name, with a mark where the person is simulated."""
        return f"{self.name} (simulated)" if self.kind == "simulated" else self.name
