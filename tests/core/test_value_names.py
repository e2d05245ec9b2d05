"""Names of the values of a step: what is made is read back, and as nothing else."""

import pytest
from alpa_mlir._native import ValueKind, value_name, value_number

KINDS = [getattr(ValueKind, name) for name in dir(ValueKind) if name.isupper()]


@pytest.mark.parametrize("kind", KINDS)
def test_name_is_read_as_its_kind_only(kind: ValueKind) -> None:
    number = 0 if kind == ValueKind.MICROBATCH else 12
    name = value_name(kind, number)
    assert [k for k in KINDS if value_number(name, k) is not None] == [kind]
    assert value_number(name, kind) == number


@pytest.mark.parametrize("name", ["", "a", "x3", "a3b", "stage0.v1", "index2"])
def test_other_names_are_of_no_kind(name: str) -> None:
    assert all(value_number(name, kind) is None for kind in KINDS)
