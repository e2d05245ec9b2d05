"""What examples leave behind otherwise than by a sum from nothing is joined, or not split."""

from typing import Any

import jax.numpy as jnp
import pytest
from alpa_mlir import _native
from alpa_mlir.ir import jaxlib
from programs.joined_steps import EXACT, WHOLE
from programs.small_programs import Program
from test_split_microbatches import (
    assert_computes_the_same,
    assert_needs_one_microbatch,
    assert_split_is_exact,
    split,
)


@pytest.mark.parametrize("name", EXACT)
def test_split_step_joins_what_the_update_reads(name: str) -> None:
    assert_split_is_exact(EXACT[name], 4)


@pytest.mark.parametrize("name", WHOLE)
def test_examples_that_read_each_other_make_one_microbatch(name: str) -> None:
    assert_needs_one_microbatch(WHOLE[name], "in which they meet")


def test_ops_of_the_prologue_have_its_phase() -> None:
    pretty = jaxlib.to_pretty(split(EXACT["weights_of_classes"], 4))
    prologue = pretty.split("@prologue(")[2].split("func.func")[0]
    assert 'alpa.phase = "prologue"' in prologue
    assert 'alpa.phase = "forward"' not in prologue


def test_largest_of_numbers_without_infinity_is_the_least_of_them() -> None:
    def step(state: Any, batch: Any) -> Any:
        return state, batch["x"].astype(jnp.float8_e4m3fn).max().astype(jnp.float32)

    program = Program(step, EXACT["counts_of_ids"].arguments)
    assert_computes_the_same(split(program, 4), program)


def test_one_microbatch_needs_no_batch() -> None:
    module = _native.Module.parse(
        "func.func public @main(%x: tensor<8xf32>) -> tensor<8xf32> { return %x : tensor<8xf32> }"
    )
    module.run("builtin.module(alpa-split-microbatches{num-microbatches=1})")
    assert "@update" in module.text()
