"""Plans, clusters and problems with one thing changed work, or are refused in one line."""

from pathlib import Path

import pytest
from oracles.mutated_files import outcomes

NUM_SEEDS = {"whole": 24, "pipeline": 24, "cluster": 24, "problem": 24}


@pytest.mark.parametrize("kind", NUM_SEEDS)
def test_mutated_file_works_or_is_refused(kind: str, tmp_path: Path) -> None:
    found = outcomes(kind, range(NUM_SEEDS[kind]), tmp_path)
    assert len(found) == NUM_SEEDS[kind]
    num_fine = sum(line.endswith(": fine") for line in found)
    assert 0 < num_fine < len(found) // 2
