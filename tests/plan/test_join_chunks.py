"""alpa-join-chunks keeps what a step computes; joined are only chunks that microbatches cut."""

import pytest
from programs.chunked_steps import EXACT, IN_CHUNKS
from test_split_microbatches import (
    assert_computes_the_same,
    assert_split_is_exact,
    joined,
    split,
)


@pytest.mark.parametrize("num_microbatches", [2, 4, 8])
@pytest.mark.parametrize("name", EXACT)
def test_split_of_chunks_computes_the_same(name: str, num_microbatches: int) -> None:
    assert_split_is_exact(EXACT[name], num_microbatches)


@pytest.mark.parametrize("name", EXACT)
def test_chunks_are_joined_where_microbatches_cut_them(name: str) -> None:
    text, remarks = joined(EXACT[name], 8)

    assert all("the loop over 2 chunks of the batch is one pass" in each for each in remarks)
    assert remarks
    assert_computes_the_same(text, EXACT[name])
    assert joined(EXACT[name], 2)[1] == []


@pytest.mark.parametrize("name", IN_CHUNKS)
def test_chunks_that_are_not_of_single_examples_stay(name: str) -> None:
    assert_split_is_exact(IN_CHUNKS[name], 2)
    assert joined(IN_CHUNKS[name], 8)[1] == []
    with pytest.raises(RuntimeError, match="divides the 2 examples of the batch"):
        split(IN_CHUNKS[name], 8)
