"""alpa-analyze-training finds the structure of training steps that nobody marked."""

from collections import Counter
from typing import Any

import jax
import pytest
from alpa_mlir import _native
from alpa_mlir.frontend.signature import Signature
from alpa_mlir.frontend.trace import trace
from alpa_mlir.ir import jaxlib
from oracles.training_equality import case
from programs.small_programs import Program
from programs.training_steps import BATCH_NORM, STEPS


def prepared(program: Program) -> _native.Module:
    """The step normalized, with sharding rules."""
    signature = Signature(program.function)
    traced = trace(signature, signature.bind(program.arguments, {}), batch_argnums=(1,))
    module = _native.Module.parse(traced.text)
    module.run("builtin.module(alpa-normalize)")
    return _native.Module.parse(jaxlib.populate_rules(module.text(True)))


def analyze(program: Program) -> tuple[str, list[str]]:
    """The module's lines with attributes, and the remarks."""
    module = prepared(program)
    remarks = module.run("builtin.module(alpa-analyze-training)")
    return module.text(), [remark.message for remark in remarks]


def num_products(text: str) -> Counter[str]:
    """How many dot_generals each phase has."""
    lines = [line for line in text.splitlines() if '"stablehlo.dot_general"' in line]
    return Counter(line.split('alpa.phase = "')[1].split('"')[0] for line in lines)


def num_sums(remarks: list[str]) -> tuple[int, int]:
    """Gradients and other sums over the batch."""
    combined = [remark for remark in remarks if remark.startswith("microbatches combine")]
    gradients = sum("gradient of" in remark for remark in combined)
    return gradients, len(combined) - gradients


def model(name: str) -> Program:
    workload = case(name)
    return Program(workload.train_step, workload.abstract_arguments())


@pytest.mark.parametrize(
    ("name", "gradients", "losses", "forward", "backward"),
    [
        # 28 parameters; the tied embedding has two parts. Per layer 6 products forward.
        ("gpt", 29, 1, 13, 26),
        # Of each layer 5 are computed again; the last one's result is not needed.
        ("gpt_checkpointed", 29, 1, 13, 36),
        ("moe", 26, 2, 16, 31),
        ("equinox_mixer", 30, 1, 9, 18),
    ],
)
def test_models_have_their_gradients_and_products(
    name: str, gradients: int, losses: int, forward: int, backward: int
) -> None:
    text, remarks = analyze(model(name))

    assert num_sums(remarks) == (gradients, losses)
    assert num_products(text) == {"forward": forward, "backward": backward}
    assert not [r for r in remarks if "examples meet" in r or "prologue" in r]


def test_every_gradient_has_one_owner_despite_global_norm() -> None:
    text, remarks = analyze(STEPS["everything"])

    num_params = len(jax.tree.leaves(STEPS["everything"].arguments[0][0]))
    owners = [
        r.split("gradient of argument ")[1].split(", '")[0] for r in remarks if "gradient" in r
    ]
    assert sorted(owners) == [str(i) for i in range(num_params)]
    assert text.count('alpa.role = "parameter"') == num_params


def test_token_count_of_the_loss_is_prologue() -> None:
    _, remarks = analyze(STEPS["everything"])

    assert num_sums(remarks) == (3, 2)
    assert [r for r in remarks if r.startswith("prologue: computed once")] == [
        "prologue: computed once from the whole batch, every microbatch uses it, 'tensor<f32>'"
    ]


def test_inference_is_all_forward() -> None:
    text, remarks = analyze(STEPS["inference"])

    assert 'alpa.phase = "backward"' not in text
    assert num_sums(remarks) == (0, 1)


@pytest.mark.parametrize("program", [BATCH_NORM, model("wide_resnet")], ids=["small", "resnet"])
def test_batch_norm_mixes_examples(program: Any) -> None:
    _, remarks = analyze(program)

    assert (
        "examples meet in 'stablehlo.reduce': its sum over examples is used for each of them"
        in (remarks)
    )


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        (STEPS["everything"], {"phase", "frontier", "prologue"}),
        (STEPS["inference"], {"phase", "frontier"}),
        (BATCH_NORM, {"phase", "frontier", "mixing"}),
    ],
    ids=["everything", "inference", "batch_norm"],
)
def test_remarks_have_codes(program: Program, codes: set[str]) -> None:
    remarks = prepared(program).run("builtin.module(alpa-analyze-training)")

    assert {remark.code for remark in remarks} == codes
    for remark in remarks:
        is_of_frontier = remark.message.startswith("microbatches combine")
        assert (remark.code == "frontier") == is_of_frontier
