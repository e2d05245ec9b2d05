"""alpa-split-stages keeps what a step computes, and sends no more than it must."""

from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest
from alpa_mlir import _native
from alpa_mlir.ir import jaxlib
from programs.small_programs import Program
from programs.training_steps import BATCH_NORM, STEPS
from test_analyze_training import model, prepared
from test_split_microbatches import assert_computes_the_same


def stages(program: Program, first_layers: list[int], num_layers: int, options: str = "") -> Any:
    module = prepared(program)
    module.run(
        "builtin.module(alpa-analyze-training,"
        f"alpa-split-microbatches{{num-microbatches=2{options}}},"
        f"alpa-cluster-layers{{num-layers={num_layers}}},"
        f"alpa-split-stages{{first-layers={','.join(map(str, first_layers))}}})"
    )
    return module


def functions(module: _native.Module) -> dict[str, Any]:
    return {function.name: function for function in module.functions()}


def sent(module: _native.Module) -> dict[tuple[int, int, str], Counter[str]]:
    """Types of the values that go from stage to stage, by phase of the reader."""
    written = {
        result.attributes["alpa.value"]: int(function.attributes["alpa.stage"])
        for function in module.functions()
        if "alpa.stage" in function.attributes
        for result in function.results
    }
    found: dict[tuple[int, int, str], Counter[str]] = {}
    for function in module.functions():
        if "alpa.stage" not in function.attributes:
            continue
        stage, phase = int(function.attributes["alpa.stage"]), function.attributes["alpa.phase"]
        for argument in function.arguments:
            source = written.get(argument.attributes["alpa.value"], stage)
            if source != stage:
                found.setdefault((source, stage, phase), Counter())[argument.type] += 1
    return found


@pytest.mark.parametrize("first_layers", [[0], [0, 1]])
@pytest.mark.parametrize("name", STEPS)
def test_stages_one_after_another_compute_the_same(name: str, first_layers: list[int]) -> None:
    module = stages(STEPS[name], first_layers, num_layers=2)

    jaxlib.to_pretty(module.text())  # jaxlib verifies it
    assert_computes_the_same(module.text(), STEPS[name])


def test_local_statistics_go_with_their_stage() -> None:
    params, batch = BATCH_NORM.arguments
    twice = jax.tree.map(lambda x: np.concatenate([x[:4], x[:4]]), batch)
    program = Program(BATCH_NORM.function, (params, twice))
    module = stages(program, [0, 1], 2, " allow-local-statistics=true")

    assert_computes_the_same(module.text(), program)


@pytest.mark.parametrize("name", ["gpt", "gpt_checkpointed", "moe", "equinox_mixer"])
def test_stages_of_models_are_valid_stablehlo(name: str) -> None:
    module = stages(model(name), [0, 1], 2)

    text = jaxlib.to_pretty(module.text())
    assert "func.func private @stage1_backward" in text
    assert "func.func private @stage1_update" in text


@pytest.mark.parametrize("name", ["gpt", "gpt_checkpointed"])
def test_only_the_residual_stream_crosses_the_stages_of_a_gpt(name: str) -> None:
    crossing = sent(stages(model(name), [0, 1], 2))

    forward, backward = crossing[0, 1, "forward"], crossing[1, 0, "backward"]
    assert forward.total() == 1
    assert forward == backward


def test_clipping_by_global_norm_takes_rounds() -> None:
    names = functions(stages(STEPS["everything"], [0, 1], 2))

    assert "stage1_update0" in names  # its own norm
    assert "stage1_update2" in names  # when stage 0 has added up
    assert names["prologue"].attributes["alpa.stage"] in ("0", "1")


@pytest.mark.parametrize("name", STEPS)
def test_a_stage_alone_reads_and_returns_what_others_need(name: str) -> None:
    module = stages(STEPS[name], [0, 1], 2)
    for stage in (0, 1):
        alone = module.clone()
        alone.run(f"builtin.module(alpa-extract-stage{{stage={stage}}},alpa-normalize)")
        (function,) = alone.functions()

        assert function.attributes["alpa.num_microbatches"] == "2"
        jaxlib.to_pretty(alone.text())
        named = [value.attributes["alpa.value"] for value in function.arguments + function.results]
        assert len(named) == len(set(named))
