"""Plans, clusters and problems with one thing changed work, or are refused in one line."""

from pathlib import Path

import pytest
from oracles.extent import in_part
from oracles.mutated_files import outcomes

CHUNK = 100
CHUNKS = in_part(
    {"whole": 2, "pipeline": 2, "cluster": 1, "problem": 1},
    {"whole": 6, "pipeline": 6, "cluster": 4, "problem": 4},
)


@pytest.mark.parametrize(
    ("kind", "chunk"), [(kind, chunk) for kind, count in CHUNKS.items() for chunk in range(count)]
)
def test_mutated_file_works_or_is_refused(kind: str, chunk: int, tmp_path: Path) -> None:
    first = 1000 + chunk * CHUNK  # others than those of the quick test
    assert len(outcomes(kind, range(first, first + CHUNK), tmp_path)) == CHUNK
