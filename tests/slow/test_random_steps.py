"""200 random training steps with random methods are as on one device, or refused with reason."""

import pytest
from oracles.random_steps.fuzz import has_passed, tasks_of
from oracles.random_steps.minimise import Failure
from oracles.random_steps.processes import judge_all
from oracles.random_steps.verdicts import FAILURES, UNJUSTIFIED

NUM_PROGRAMS = 200

pytestmark = pytest.mark.xdist_group("random_steps")  # one process asks, two others run


@pytest.fixture(scope="module")
def judged() -> list[Failure]:
    tasks = tasks_of(range(NUM_PROGRAMS))
    return [Failure(*task, verdict) for task, verdict in judge_all(tasks)]


@pytest.mark.parametrize("seed", range(NUM_PROGRAMS))
def test_random_step_is_as_on_one_device_or_refused(seed: int, judged: list[Failure]) -> None:
    assert judged[seed].verdict.kind not in FAILURES, str(judged[seed])


def test_refusals_of_random_steps_are_justified(judged: list[Failure]) -> None:
    unjustified = [each for each in judged if each.verdict.kind == UNJUSTIFIED]
    listed = [f"seed {each.step.seed}: {each.verdict.message}" for each in unjustified]
    assert has_passed([each for each in judged if each.verdict.kind not in FAILURES]), "\n".join(
        listed
    )
