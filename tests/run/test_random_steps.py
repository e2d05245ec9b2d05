"""The oracle of random training steps itself: it sees what is wrong, and only that."""

import itertools
from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest
from oracles.random_steps.comparison import compare, train
from oracles.random_steps.examples import Meeting, examples_meet
from oracles.random_steps.fuzz import has_passed
from oracles.random_steps.methods import Asked, random_method
from oracles.random_steps.minimise import Failure, minimised
from oracles.random_steps.processes import Worker
from oracles.random_steps.verdicts import (
    CRASH,
    ERROR,
    HANG,
    JUSTIFIED,
    OK,
    UNJUSTIFIED,
    WRONG,
    Verdict,
    contradiction,
    expected_meeting,
)
from programs.random_steps.draw import random_step
from programs.random_steps.plain import PLAIN_STEP, plain_step_with
from programs.random_steps.registry import CONSTRUCTS
from programs.random_steps.shrink import smaller_steps
from programs.random_steps.source import load, write_source
from programs.random_steps.spec import RandomStep

PIPELINE = Asked("pipeline", num_stages=1, num_microbatches=4, schedule="gpipe")
MEETS = Meeting(with_parameters=True, in_batch_alone=False)
MEETS_BEFORE = Meeting(with_parameters=False, in_batch_alone=True)
APART = Meeting(with_parameters=False, in_batch_alone=False)


def test_random_step_is_the_same_for_the_same_seed() -> None:
    assert random_step(5) == random_step(5) != random_step(6)
    assert random_method(random_step(5), 5) == random_method(random_step(5), 5)
    assert write_source(random_step(5)) == write_source(random_step(5))


def test_random_steps_survive_json() -> None:
    assert all(RandomStep.from_json(random_step(s).to_json()) == random_step(s) for s in range(20))


def test_random_steps_use_every_construct() -> None:
    drawn = Counter(p.construct for seed in range(1500) for p in random_step(seed).pieces)
    assert set(drawn) == set(CONSTRUCTS)


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_construct_keeps_the_state_in_form(name: str) -> None:
    module = load(write_source(plain_step_with(name)).text)
    state, _ = jax.eval_shape(module["step"], module["init"](), module["make_batch"](0))
    form = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(module["init"]())]
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)] == form


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("batch_norm", {}, MEETS),
        ("layer_norm", {}, APART),
        ("contrastive", {}, MEETS),
        ("class_weights", {}, MEETS_BEFORE),
        ("standardized", {}, MEETS_BEFORE),
        ("mixed_with_the_reversed", {}, MEETS_BEFORE),
        ("padded_examples", {}, MEETS_BEFORE),
        ("two_views", {}, APART),
        ("regularized", {}, APART),
        ("branch", {"by": "counter"}, APART),
        ("branch", {"by": "batch max"}, MEETS_BEFORE),
        ("branch", {"by": "activations max"}, MEETS),
        ("dropout_by_the_state", {}, APART),
        ("dropout_by_a_key_of_the_batch", {}, APART),
    ],
)
def test_numbers_show_whether_examples_meet(
    name: str, options: dict[str, Any], expected: Meeting
) -> None:
    assert examples_meet(write_source(plain_step_with(name, **options)).text, 4) == expected


def test_neighbours_meet_only_in_microbatches_of_one() -> None:
    text = write_source(plain_step_with("neighbours")).text
    assert not examples_meet(text, 4).with_parameters
    assert examples_meet(text, 8).with_parameters


@pytest.mark.parametrize("seed", range(6))
def test_numbers_agree_with_what_constructs_say(seed: int) -> None:
    step = random_step(seed)
    meeting = examples_meet(write_source(step).text, step.sizes[0])
    assert contradiction(step, meeting) == ""
    assert expected_meeting(step) != "no" or meeting == APART


def test_comparison_finds_a_small_fault_and_allows_rounding() -> None:
    module = load(write_source(PLAIN_STEP).text)
    reference = train(jax.jit(module["step"]), module, "train")

    def scaled(factor: float) -> Any:
        return jax.tree.map(lambda leaf: leaf * np.float32(factor), reference)

    assert compare(scaled(1 + 1e-3), reference, module, PLAIN_STEP).wrong
    assert not compare(scaled(1 + 1e-6), reference, module, PLAIN_STEP).wrong
    assert not compare(scaled(1 + 1e-6), reference, module, PLAIN_STEP).unjudged


def test_minimised_is_the_planted_fault_alone() -> None:
    def judge(step: RandomStep, asked: Asked) -> Verdict:
        constructs = {piece.construct for piece in step.pieces}
        is_wrong = {"residual", "momentum"} <= constructs and asked.num_microbatches > 1
        return Verdict(WRONG if is_wrong else OK)

    found = (
        step
        for step in map(random_step, itertools.count())
        if judge(step, PIPELINE).kind == WRONG and len(step.pieces) > 8 and step.sizes[0] == 8
    )
    small = minimised(Failure(next(found), PIPELINE, Verdict(WRONG)), judge)
    assert small.culprits == {"residual", "momentum"}
    assert len(small.step.model) == 1
    assert small.asked.num_microbatches == 2
    assert small.step.sizes == (8, 0, min(small.step.sizes[2], 6))


@pytest.mark.parametrize("seed", range(10))
def test_smaller_steps_come_to_an_end(seed: int) -> None:
    step, num_steps = random_step(seed), 0
    while (smaller := next(smaller_steps(step), None)) is not None:
        write_source(smaller)
        step, num_steps = smaller, num_steps + 1
        assert num_steps < 100


def test_worker_judges_and_outlives_a_hang() -> None:
    with Worker() as worker:
        shard = Asked("shard", mesh_shape=(8,))
        assert worker.judge(PLAIN_STEP, shard).kind == OK
        worker.limit_seconds = 0.0
        assert worker.judge(PLAIN_STEP, shard).kind not in (OK, CRASH)
        worker.limit_seconds = 60.0
        assert worker.judge(plain_step_with("batch_norm"), PIPELINE).kind == JUSTIFIED


def test_unjustified_refusals_may_be_few() -> None:
    def judged(**counts: int) -> bool:
        kinds = {"ok": OK, "just": JUSTIFIED, "unjust": UNJUSTIFIED, "error": ERROR, "hang": HANG}
        verdicts = [Verdict(kinds[kind]) for kind, n in counts.items() for _ in range(n)]
        return has_passed([Failure(PLAIN_STEP, PIPELINE, verdict) for verdict in verdicts])

    assert judged(ok=5, just=19, unjust=1)
    assert not judged(ok=5, just=18, unjust=1)
    assert not judged(ok=50, error=1)
    assert not judged(ok=50, hang=1)
