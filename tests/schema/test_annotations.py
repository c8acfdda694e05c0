import subprocess
import sys
from datetime import date, datetime, timedelta
from typing import Literal, Optional

import pytest

from slipway.errors import InvalidDeclaration
from slipway.records.schema import Field
from slipway.schema.annotations import field_of_annotation


@pytest.mark.parametrize(
    ("annotation", "field"),
    [
        (bool, Field("x", "bool", False)),
        (int, Field("x", "int", False)),
        (float, Field("x", "float", False)),
        (str, Field("x", "string", False)),
        (datetime, Field("x", "datetime", False)),
        (date, Field("x", "date", False)),
        (timedelta, Field("x", "duration", False)),
        (float | None, Field("x", "float", True)),
        (Optional[int], Field("x", "int", True)),  # noqa: UP045 - the old spelling must work too
        (Literal["EWR", "JFK"], Field("x", "category", False, ("EWR", "JFK"))),
        (Literal["EWR", "JFK"] | None, Field("x", "category", True, ("EWR", "JFK"))),
    ],
)
def test_python_annotations_become_fields(annotation: object, field: Field) -> None:
    assert field_of_annotation("x", annotation) == field


@pytest.mark.parametrize("annotation", [bytes, list[int], int | str, None, "float", Literal[1, 2], object])
def test_other_annotations_are_refused_by_name(annotation: object) -> None:
    with pytest.raises(InvalidDeclaration, match="'speed' is annotated with"):
        field_of_annotation("speed", annotation)


def test_annotations_and_validation_load_no_frames() -> None:
    code = (
        "import sys, slipway.schema.annotations, slipway.schema.validation\n"
        "print(sorted(m for m in ('polars', 'numpy', 'pandas') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
