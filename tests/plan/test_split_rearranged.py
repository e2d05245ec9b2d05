"""Examples that are rearranged, mapped or read under branches still are examples."""

import pytest
from alpa_mlir.ir import jaxlib
from programs.rearranged_steps import EXACT, WHOLE
from test_split_microbatches import (
    assert_computes_the_same,
    assert_needs_one_microbatch,
    assert_split_is_exact,
    split,
)


@pytest.mark.parametrize("num_microbatches", [2, 4])
@pytest.mark.parametrize("name", EXACT)
def test_split_step_computes_the_same(name: str, num_microbatches: int) -> None:
    assert_split_is_exact(EXACT[name], num_microbatches)


@pytest.mark.parametrize("name", ["mapped", "scanned_with_a_total"])
def test_loop_over_the_examples_is_none_where_each_microbatch_has_one(name: str) -> None:
    text = split(EXACT[name], 8)

    microbatch = jaxlib.to_pretty(text).split("@microbatch(")[-1].split("func.func")[0]
    assert "stablehlo.while" not in microbatch
    assert_computes_the_same(text, EXACT[name])


def test_pairs_are_not_divided() -> None:
    with pytest.raises(RuntimeError, match=r"divides the 4 examples of the batch.*1, 2, 4; got 8"):
        split(EXACT["halves_of_every_pair"], 8)


@pytest.mark.parametrize("name", WHOLE)
def test_examples_that_read_each_other_make_one_microbatch(name: str) -> None:
    assert_needs_one_microbatch(WHOLE[name], r"in which they meet|add up over microbatches")
