"""Which leaves of a batch count examples, and in which dim."""

from typing import Any

import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError
from alpa_mlir.frontend.batch import BatchLeaf, settle, spread
from alpa_mlir.frontend.signature import Signature
from alpa_mlir.frontend.trace import TracedProgram, trace


def leaf(name: str, *shape: int, dim: int | None = 0, is_certain: bool = False) -> BatchLeaf:
    return BatchLeaf(name, shape, dim, is_certain)


def test_size_that_most_leaves_have_is_that_of_the_batch() -> None:
    dims, remarks = settle([leaf("x", 16, 8), leaf("weights", 6), leaf("y", 16), leaf("count")])
    assert dims == [0, None, 0, None]
    (remark,) = remarks
    assert "weights [6], count [] of the batch counts none of its 16 examples" in remark


def test_of_as_many_leaves_the_larger_count() -> None:
    assert settle([leaf("weights", 6), leaf("x", 16, 8)])[0] == [None, 0]


def test_dims_said_of_single_leaves_must_agree() -> None:
    agreeing = [leaf("x", 8, 16, dim=-1, is_certain=True), leaf("y", 16, dim=0, is_certain=True)]
    assert settle(agreeing) == ([1, 0], [])
    with pytest.raises(ArgumentError, match=r"as many examples in y as in x, 16, got 12"):
        settle([agreeing[0], leaf("y", 12, is_certain=True)])
    with pytest.raises(ArgumentError, match=r"y to have the dim 1 .* got shape \[12\]"):
        settle([agreeing[0], leaf("y", 12, dim=1, is_certain=True)])


def test_nothing_counts_where_nothing_has_dims() -> None:
    assert settle([leaf("count"), leaf("key", dim=None)]) == ([None, None], [])


def test_spec_is_a_prefix_of_the_batch_arguments() -> None:
    batch = {"x": np.ones((2, 3)), "y": [np.ones(3), np.ones(3)]}
    assert spread(1, [batch]) == [[(1, False)] * 3]
    assert spread([{"x": 1, "y": None}], [batch]) == [[(1, True), (None, True), (None, True)]]
    with pytest.raises(ArgumentError, match=r"an entry for each of the 1 batch arguments, got 2"):
        spread([0, 1], [batch])
    with pytest.raises(ArgumentError, match=r"prefix of the batch argument"):
        spread([{"x": 1}], [batch])


def traced(batch: Any, batch_dims: Any = 0) -> TracedProgram:
    def step(state: Any, batch: Any) -> Any:
        return state + batch["x"].sum()

    signature = Signature(step)
    call = signature.bind((np.float32(0), batch), {})
    return trace(signature, call, batch_argnums=(1,), batch_dims=batch_dims)


def test_marks_name_dims_other_than_the_first() -> None:
    program = traced({"x": np.ones((3, 8), np.float32), "n": np.int32(3)}, 1)
    assert [argument.batch_dim for argument in program.arguments] == [None, None, 1]
    assert "alpa.batch = 1 : i64" in program.text
    assert program.remarks == (
        "batch['n'] [] of the batch counts none of its 8 examples: every microbatch and device "
        "reads the whole of it (batch_dims names dims other than the first)",
    )


def test_ordered_effects_are_refused() -> None:
    import jax

    def step(state: Any, batch: Any) -> Any:
        jax.debug.print("{}", batch.sum(), ordered=True)
        return state

    signature = Signature(step)
    call = signature.bind((np.float32(0), np.ones(4, np.float32)), {})
    with pytest.raises(ArgumentError, match=r"no ordered effects in step, got OrderedDebug"):
        trace(signature, call, batch_argnums=(1,))
