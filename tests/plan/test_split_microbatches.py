"""alpa-split-microbatches keeps what a step computes, whatever its loss."""

import jax
import numpy as np
import pytest
from alpa_mlir import _native
from alpa_mlir.ir import jaxlib
from programs.small_programs import Program
from programs.training_steps import BATCH_NORM, STEPS
from test_analyze_training import model, prepared
from test_normalize import lowered, run


def split(program: Program, num_microbatches: int, options: str = "") -> str:
    module = _native.Module.parse(joined(program, num_microbatches)[0])
    module.run(
        "builtin.module(alpa-analyze-training,"
        f"alpa-split-microbatches{{num-microbatches={num_microbatches}{options}}})"
    )
    return module.text()


def joined(program: Program, num_microbatches: int) -> tuple[str, list[str]]:
    """The program with chunks joined and prepared again, and the remarks."""
    module = prepared(program)
    remarks = module.run(
        f"builtin.module(alpa-join-chunks{{num-microbatches={num_microbatches}}},alpa-normalize)"
    )
    text = jaxlib.populate_rules(module.text(True)) if remarks else module.text(True)
    return text, [remark.message for remark in remarks]


def assert_computes_the_same(text: str, program: Program, tolerance: float = 1e-5) -> None:
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance),
        run(text, program),
        lowered(program).compile()(*program.arguments),
    )


def assert_split_is_exact(program: Program, num_microbatches: int) -> None:
    text = split(program, num_microbatches)
    jaxlib.to_pretty(text)  # jaxlib verifies it
    assert_computes_the_same(text, program)


def assert_needs_one_microbatch(program: Program, message: str) -> None:
    assert_computes_the_same(split(program, 1), program)
    with pytest.raises(RuntimeError, match=message):
        split(program, 2)


@pytest.mark.parametrize("num_microbatches", [1, 2, 8])
@pytest.mark.parametrize("name", STEPS)
def test_split_step_computes_the_same(name: str, num_microbatches: int) -> None:
    assert_split_is_exact(STEPS[name], num_microbatches)


def test_prologue_is_there_only_if_needed() -> None:
    assert '"prologue"' in split(STEPS["everything"], 4)
    assert 'sym_name = "prologue"' not in split(STEPS["mean_loss_sgd"], 4)


@pytest.mark.parametrize("name", ["gpt", "gpt_checkpointed", "moe"])
def test_split_models_are_valid_stablehlo(name: str) -> None:
    assert "func.func private @microbatch" in jaxlib.to_pretty(split(model(name), 4))


def test_batch_norm_needs_local_statistics() -> None:
    with pytest.raises(RuntimeError, match=r"examples meet|in which they meet") as error:
        split(BATCH_NORM, 2)
    assert "training_steps.py" in str(error.value)
    assert "allow-local-statistics=true" in str(error.value)


def test_local_statistics_are_those_of_the_microbatch() -> None:
    """Twice the same examples: the statistics of each half are those of the whole."""
    params, batch = BATCH_NORM.arguments
    twice = jax.tree.map(lambda x: np.concatenate([x[:4], x[:4]]), batch)
    program = Program(BATCH_NORM.function, (params, twice))

    text = split(program, 2, " allow-local-statistics=true")

    assert_computes_the_same(text, program)


def test_number_of_microbatches_must_divide_the_batch() -> None:
    with pytest.raises(RuntimeError, match=r"divides the 8 examples .* one of 1, 2, 4, 8; got 3"):
        split(STEPS["mean_loss_sgd"], 3)
