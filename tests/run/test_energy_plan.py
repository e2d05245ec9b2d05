"""Steps with a frequency for every task, on devices whose clocks only record requests."""

from __future__ import annotations

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
from alpa_mlir.errors import ArgumentMismatchError, EnergyError, ProcessError
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.parallelize import ParallelFunction
from alpa_mlir.program.pipeline import ValueResult
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.schedule import Phase
from oracles.fake_devices import assert_restored_after_kill

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


def test_several_processes_are_refused(
    step: ParallelFunction, energy_plan: EnergyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline(step).driver.share, "is_whole", False)
    meter = ClockWithWatts()
    with pytest.raises(ProcessError, match="one process for set_energy_plan, got"):
        step.set_energy_plan(energy_plan, meter)
    with pytest.raises(ProcessError, match="one process for tasks_alone, got"):
        alpa.EnergyProfile.measure(pipeline(step), None, None, (1000, 800), meter)
    assert not meter.requests


def test_clocks_that_cannot_be_restored_are_left_to_the_watcher(tmp_path: Path) -> None:
    class Lost(FakeClocks):
        def restore(self) -> None:
            raise OSError("the device is lost")

    controller = ClockController(Lost(tmp_path / "restored"), 1)
    with pytest.warns(UserWarning, match="clocks are no longer set: the device is lost"):
        controller.close()
    assert (tmp_path / "restored").exists()
    controller.close()


def test_clocks_without_zeus_are_one_clear_line(
    step: ParallelFunction, energy_plan: EnergyPlan
) -> None:
    with pytest.raises(EnergyError, match=r"pip install 'alpa_mlir\[energy\]'"):
        step.set_energy_plan(energy_plan)


def test_points_of_a_frontier_are_energy_plans(
    gpt: Workload, step: ParallelFunction, energy_plan: EnergyPlan
) -> None:
    plan = step.plan(*gpt.abstract_arguments())
    frontier = plan.energy(alpa.EnergyProfile.from_model(plan, MODEL))
    middle = frontier.points[len(frontier.points) // 2]
    late = frontier.for_straggler(middle.seconds)
    assert late == middle == energy_plan.point
    assert late.plan().seconds <= middle.seconds
    for point in (frontier.fastest, frontier.cheapest, frontier.at(middle.seconds), late):
        step.set_energy_plan(point, FakeClocks())
        driver = pipeline(step)._energy
        assert driver is not None
        assert driver._frequencies == frontier.plan(point).frequencies
        step.set_energy_plan(None)


def pipeline(step: ParallelFunction) -> PipelineExecutable[alpa.Plan]:
    assert isinstance(step.executable, PipelineExecutable)
    return step.executable


@pytest.mark.parametrize("raises", ["at an argument", "at a task"])
def test_clocks_are_restored_when_a_step_raises(
    gpt: Workload,
    step: ParallelFunction,
    energy_plan: EnergyPlan,
    monkeypatch: pytest.MonkeyPatch,
    raises: str,
) -> None:
    arguments = (gpt.init_state(jax.random.key(0)), gpt.example_batch(jax.random.key(1)))
    driver, clocks = pipeline(step).driver, FakeClocks()
    step.set_energy_plan(energy_plan, clocks)
    assert not clocks.restored
    if raises == "at an argument":
        with pytest.raises(ArgumentMismatchError):
            pipeline(step)(arguments)
    else:

        def fail(_: object) -> None:
            raise KeyboardInterrupt

        half = len(driver.issued) // 2
        failing = (*driver.issued[:half], replace(driver.issued[half], issue=fail))
        with monkeypatch.context() as patched:
            patched.setattr(driver, "issued", failing)
            with pytest.raises(KeyboardInterrupt):
                pipeline(step)(*arguments)
        assert clocks.requests
    assert len(clocks.restored) == 1
    num_requests = len(clocks.requests)
    jax.block_until_ready(pipeline(step)(*arguments))  # goes on without
    assert len(clocks.requests) == num_requests
    step.set_energy_plan(None)
    assert len(clocks.restored) == 1


class ClockWithWatts(FakeClocks):
    """Draws 50 W whatever it does."""

    def joules(self, stage: int) -> float:
        return 50.0 * time.perf_counter()


def test_tasks_of_a_pipeline_are_measured(gpt: Workload, step: ParallelFunction) -> None:
    """Times on this machine mean nothing; but each task has some, and the step is what it was."""
    arguments = (gpt.init_state(jax.random.key(0)), gpt.example_batch(jax.random.key(1)))
    expected, meter = step(*arguments), ClockWithWatts()
    profile = alpa.EnergyProfile.measure(
        pipeline(step), *arguments, (1000, 800), meter, window_seconds=0.01
    )
    tasks = {(choice.stage, choice.instruction) for choice in profile.choices}
    assert tasks == {(s, i) for s in (0, 1) for i in ("forward", "backward", "update")}
    for choice in profile.choices:
        assert choice.time > 0
        assert choice.energy == pytest.approx(50 * choice.time, rel=0.5)
    assert {megahertz for _, megahertz, _ in meter.requests} == {1000.0, 800.0}
    assert len(meter.restored) == 1
    assert step.plan(*arguments).energy(profile).points
    jax.tree.map(np.testing.assert_array_equal, expected, step(*arguments))


def test_tasks_run_again_on_what_they_read(gpt: Workload) -> None:
    """State that is given up is the last results' own, path by path: no moment is a weight."""
    executable = alpa.parallelize(gpt.train_step, METHOD).compile(*gpt.abstract_arguments())
    assert isinstance(executable, PipelineExecutable)
    program = executable.driver.program
    argument = {each.value: n for n, each in enumerate(program.arguments)}
    result = {r.value: n for n, r in enumerate(program.results) if isinstance(r, ValueResult)}
    arguments = (gpt.init_state(jax.random.key(0)), gpt.example_batch(jax.random.key(1)))
    seen: set[str] = set()
    for task in executable.tasks_alone(*arguments):
        seen.add(str(task.kind))
        signature = program.values.signatures[task.kind]
        if task.kind.phase == Phase.UPDATE:
            assert task._fed
            for position, number in task._fed.items():
                assert number is not None
                before, after = signature.inputs[position], signature.outputs[number]
                assert argument[before] == result[after]
        task.run(3)
        parts = [each.addressable_data(0) for each in task._results or ()]
        assert all(np.isfinite(part).all() for part in parts)
    assert seen == {"F0", "F1", "B0", "B1", "U0", "U1"}


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
    assert_restored_after_kill(KILLED, "ready", tmp_path)
