"""A contract at work: request bodies to rows, rows and labels' keys to the text under which they meet."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from slipway.errors import InvalidDeclaration, InvalidInput, near
from slipway.records.endpoints import Contract
from slipway.schema.validation import decoder

__all__ = ["ContractReader", "key_text"]


class ContractReader:
    """Reads what callers send against an endpoint's contract. Safe for threads.

    Args:
        contract: The contract.

    Raises:
        InvalidDeclaration: The key names a field that the contract does not have.
    """

    def __init__(self, contract: Contract) -> None:
        names = [field.name for field in contract.fields]
        for name in contract.key:
            if name not in names:
                raise InvalidDeclaration(
                    f"The contract's key names {name!r}, which is no field of it.",
                    fix=near(name, names, what="fields"),
                )
        request = decoder(contract.fields, strict=contract.strict)
        self.contract = contract
        self.decode = request.decode
        self.unknown_fields = request.unknown_fields
        self._positions = [names.index(name) for name in contract.key]
        # A prediction whose key is null can only be found by its id, so a label's key must be whole.
        self._keys = decoder(
            tuple(msgspec.structs.replace(contract.fields[at], nullable=False) for at in self._positions), strict=True
        )

    def key_of(self, row: Sequence[Any]) -> str:
        """The key of a row in the contract's order, as text; "" when the contract has no key."""
        return key_text([row[at] for at in self._positions])

    def keys_of(self, rows: Sequence[Sequence[Any]]) -> Sequence[str]:
        """The keys of rows, as `key_of` gives them."""
        return [self.key_of(row) for row in rows] if self._positions else [""] * len(rows)

    def decode_key(self, key: Mapping[str, Any], where: str) -> str:
        """A label's key, by field name, as the same text.

        Args:
            key: The values as JSON gave them.
            where: Where the key stands in the request, for the sentence: "labels[3].key".

        Raises:
            InvalidInput: It is not whole, has another field, or a wrong type.
        """
        try:
            rows = self._keys.decode(msgspec.json.encode({"rows": [key]})).rows
        except RecursionError:
            raise InvalidInput(f"{where} is nested too deeply.", why="A key's values are plain.", field=where) from None
        except InvalidInput as problem:
            raise InvalidInput(
                problem.what.replace("rows[0]", where),
                why=problem.why,
                fix=problem.fix,
                field=problem.field.replace("rows[0]", where),
            ) from None
        return key_text(rows[0])


def key_text(values: Sequence[Any]) -> str:
    r"""Key values as one text: joined with "|", which is written "\|" inside a value; null is empty."""
    return "|".join([_part(value) for value in values])


def _part(value: Any) -> str:
    if value is None:
        return ""
    text = value if type(value) is str else value.isoformat() if isinstance(value, datetime) else str(value)
    return re.sub(r"([\\|])", r"\\\1", text) if "|" in text or "\\" in text else text
