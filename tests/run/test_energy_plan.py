"""Steps with a frequency for every task, on devices whose clocks only record requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import alpa_mlir as alpa
import jax
import numpy as np
import optax
import pytest
from alpa_mlir.energy.clocks import ClockController
from alpa_mlir.energy.frequencies import EnergyPlan
from alpa_mlir.errors import EnergyError
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.parallelize import ParallelFunction

MODEL = alpa.PowerModel(2000.0, 50.0, 60.0, 15.0, source="a processor that is not there")
METHOD = alpa.PipelineParallel(
    num_stages=2,
    num_microbatches=4,
    num_layers=2,
    num_processes=0,
    cache_dir=None,
    time_limit_seconds=1,
    target_gap=0.05,
)


class FakeClocks:
    """Records requests with their times; fails from the request of that number on."""

    def __init__(self, flag: Path | None = None, fails_at: int | None = None) -> None:
        self.requests: list[tuple[int, float, float]] = []
        self.restored: list[float] = []
        self._flag = flag
        self._fails_at = fails_at
        self._lock = threading.Lock()

    def set_megahertz(self, stage: int, megahertz: float) -> None:
        with self._lock:
            if self._fails_at is not None and len(self.requests) >= self._fails_at:
                raise OSError("no permission")
            self.requests.append((stage, megahertz, time.perf_counter()))

    def restore(self) -> None:
        self.restored.append(time.perf_counter())

    def restore_command(self) -> Sequence[str]:
        return ["touch", str(self._flag)] if self._flag else ["true"]


@pytest.fixture(scope="module")
def gpt() -> Workload:
    return workload("gpt", "debug", 8, optax.adam(1e-3))


@pytest.fixture(scope="module")
def step(gpt: Workload) -> ParallelFunction:
    step = alpa.parallelize(gpt.train_step, METHOD, donate_argnums=())
    step.compile(*gpt.abstract_arguments())
    return step


@pytest.fixture(scope="module")
def energy_plan(gpt: Workload, step: ParallelFunction) -> EnergyPlan:
    plan = step.plan(*gpt.abstract_arguments())
    frontier = plan.energy(alpa.EnergyProfile.from_model(plan, MODEL))
    return frontier.plan(frontier.points[len(frontier.points) // 2])


def changes_of(frequencies: Sequence[float]) -> list[float]:
    return [f for i, f in enumerate(frequencies) if i == 0 or f != frequencies[i - 1]]


def is_subsequence(short: Sequence[float], long: Sequence[float]) -> bool:
    rest = iter(long)
    return all(item in rest for item in short)


def test_clocks_are_asked_for_in_the_planned_order_and_results_stay(
    gpt: Workload, step: ParallelFunction, energy_plan: EnergyPlan
) -> None:
    arguments = (
        gpt.init_state(jax.random.key(0)),
        gpt.example_batch(jax.random.key(1)),
    )
    expected = step(*arguments)
    clocks = FakeClocks()
    step.set_energy_plan(energy_plan, clocks)
    got = jax.block_until_ready(step(*arguments))
    step.set_energy_plan(None)
    jax.tree.map(np.testing.assert_array_equal, expected, got)
    for stage, tasks in enumerate(energy_plan.stages):
        planned = changes_of([each.megahertz for each in tasks])
        asked = [megahertz for number, megahertz, _ in clocks.requests if number == stage]
        assert asked[0] == planned[0]
        assert is_subsequence(asked, planned)
    assert clocks.restored
    assert clocks.restored[-1] >= clocks.requests[-1][2]


def test_failing_clocks_never_fail_the_step(
    gpt: Workload, step: ParallelFunction, energy_plan: EnergyPlan
) -> None:
    arguments = (
        gpt.init_state(jax.random.key(0)),
        gpt.example_batch(jax.random.key(1)),
    )
    expected = step(*arguments)
    step.set_energy_plan(energy_plan, FakeClocks(fails_at=0))
    got: list[object] = []

    def run() -> None:
        got.append(jax.block_until_ready(step(*arguments)))
        step.set_energy_plan(None)

    with pytest.warns(UserWarning, match="clocks are no longer set: no permission"):
        run()
    jax.tree.map(np.testing.assert_array_equal, expected, got[0])


def test_energy_plan_of_another_pipeline_is_refused(
    gpt: Workload, step: ParallelFunction, energy_plan: EnergyPlan
) -> None:
    with pytest.raises(EnergyError, match="before it gets an energy plan; call it once"):
        alpa.parallelize(gpt.train_step, METHOD).set_energy_plan(energy_plan, FakeClocks())
    plan = step.plan(*gpt.abstract_arguments())
    profile = alpa.EnergyProfile.from_model(plan, MODEL)
    other = alpa.EnergyFrontier.of(replace(plan.energy(profile).step, num_microbatches=3))
    with pytest.raises(EnergyError, match="expected an energy plan of the 16 tasks"):
        step.set_energy_plan(other.plan(other.fastest), FakeClocks())


def test_clocks_without_zeus_are_one_clear_line(
    step: ParallelFunction, energy_plan: EnergyPlan
) -> None:
    with pytest.raises(EnergyError, match=r"pip install 'alpa_mlir\[energy\]'"):
        step.set_energy_plan(energy_plan)


def test_requests_reach_the_device_within_five_milliseconds() -> None:
    clocks = FakeClocks()
    asked: list[float] = []
    with ClockController(clocks, 2) as controller:
        for number in range(50):
            asked.append(time.perf_counter())
            controller.request(number % 2, 1000.0 + number)
            time.sleep(0.01)
    for stage in (0, 1):
        got = [megahertz for number, megahertz, _ in clocks.requests if number == stage]
        assert is_subsequence(got, [1000.0 + k for k in range(stage, 50, 2)])
    delays = [at - asked[int(megahertz - 1000)] for _, megahertz, at in clocks.requests]
    assert len(delays) > 40
    assert median(delays) < 0.005
    assert len(clocks.restored) == 1


def test_slow_devices_are_at_most_one_request_behind() -> None:
    class Slow(FakeClocks):
        def set_megahertz(self, stage: int, megahertz: float) -> None:
            time.sleep(0.2)
            super().set_megahertz(stage, megahertz)

    clocks = Slow()
    with ClockController(clocks, 1) as controller:
        for megahertz in range(1, 51):
            controller.request(0, float(megahertz))
            time.sleep(0.001)
        time.sleep(0.6)
    asked = [megahertz for _, megahertz, _ in clocks.requests]
    assert asked[-1] == 50
    assert len(asked) <= 3


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from run.test_energy_plan import FakeClocks
from alpa_mlir.energy.clocks import ClockController
controller = ClockController(FakeClocks(Path({flag!r})), 1)
controller.request(0, 1000.0)
print("ready", flush=True)
time.sleep(60)
"""


def test_clocks_are_restored_when_the_driver_is_killed(tmp_path: Path) -> None:
    flag = tmp_path / "restored"
    tests = str(Path(__file__).parents[1])
    code = KILLED.format(tests=tests, flag=str(flag))
    driver = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(alpa.__file__).parents[1])},
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == b"ready\n"
    assert not flag.exists()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    for _ in range(100):
        if flag.exists():
            return
        time.sleep(0.05)
    raise AssertionError("the watcher has not restored the clocks")
