"""Pipelines on eight CPU devices end where one device takes the same steps."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections import Counter
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError, ClusterError
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.compile import compile_pipeline
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.runtime.timeline import without_late_watchers
from alpa_mlir.schedule.instructions import Run, Transfer
from alpa_mlir.simulate.drawing import save_trace, to_svg
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles.extent import each_nth
from oracles.pipelines import Placement, initial_state, make_batch, make_pipeline, reference_step

BY_COLUMN, BY_ROW = ((), ("x",)), (("x",), ())
TWO = (Placement((1, 2), 0, ((), ("y",)), (("y",), ())), Placement((1, 2), 2, (("y",), ())))
UNEQUAL = (
    Placement((1, 2), 0, ((), ("y",)), (("y",), ())),
    Placement((1, 2), 2, (("y",), ()), ((), ("y",))),
    Placement((1, 4), 4, ((), ("y",)), ((), ("y",))),
)
FOUR = (
    Placement((2,), 0, BY_COLUMN, BY_ROW),
    Placement((2,), 2, BY_ROW, BY_COLUMN),
    Placement((1,), 4),
    Placement((2,), 5, BY_COLUMN),
)
GROWING = (Placement((1,), 0), Placement((2, 2), 1, (("x",), ("y",)), ((), ("x", "y"))))
SHARED = (Placement((2, 2), 0, (("x",), ("y",))), Placement((4,), 0, BY_COLUMN, BY_ROW))
LAYOUTS = {
    "two": TWO,
    "unequal": UNEQUAL,
    "four": FOUR,
    "growing": GROWING,
    "on_the_same_devices": SHARED,
}
CASES = [
    *itertools.product(["unequal"], ["GPIPE", "ONE_F_ONE_B", "EAGER_ONE_F_ONE_B"], [1, 2, 4]),
    *itertools.product(["two", "four", "growing", "on_the_same_devices"], ["ONE_F_ONE_B"], [1, 4]),
]


def error(actual: Any, expected: Any) -> float:
    def leaf(a: Any, b: Any) -> float:
        if jnp.issubdtype(b.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        return float(np.max(np.abs(a.astype(float) - b.astype(float)), initial=0.0))

    return max(jax.tree.leaves(jax.tree.map(leaf, actual, expected)))


def train(step: Any, num_stages: int, num_steps: int = 3) -> Any:
    state, outputs = initial_state(num_stages), []
    for k in range(num_steps):
        state, *rest = step(state, make_batch(k), np.float32(k))
        outputs.append(rest)
    return state, outputs


@functools.cache
def trained(num_stages: int, num_microbatches: int) -> Any:
    return train(reference_step(num_stages, num_microbatches), num_stages)


@functools.cache
def compiled(
    layout: str, schedule: str, num_microbatches: int, is_donated: bool = True
) -> PipelineExecutable[Any]:
    program = make_pipeline(LAYOUTS[layout], schedule, num_microbatches, is_donated)
    return compile_pipeline(program, jax.devices())


@pytest.mark.parametrize(("layout", "schedule", "num_microbatches"), each_nth(2, CASES))
def test_training_equals_one_device(layout: str, schedule: str, num_microbatches: int) -> None:
    executable = compiled(layout, schedule, num_microbatches)
    num_stages = len(LAYOUTS[layout])
    assert error(train(executable, num_stages), trained(num_stages, num_microbatches)) < 1e-5


def on_one_mesh(program: PipelineProgram[AnnotatedProgram]) -> PipelineProgram[AnnotatedProgram]:
    """Both stages take turns on one mesh."""
    schedule = program.schedule
    tasks = [task for pair in zip_longest(*schedule.meshes) for task in pair if task]
    order = {"P": 0, "F": 1, "B": 2, "U": 3}
    tasks.sort(
        key=lambda t: (
            t.microbatch if t.phase.runs_per_microbatch else (-1 if t.phase.value == "P" else 99),
            order[t.phase.value],
            t.round,
            -t.stage if t.phase.value == "B" else t.stage,
        )
    )
    merged = dataclasses.replace(schedule, meshes=(tuple(tasks),), max_in_flight=(1, 1))
    merged.verify()
    return dataclasses.replace(program, schedule=merged)


def test_two_stages_on_one_mesh_convert_between_their_shardings() -> None:
    program = on_one_mesh(make_pipeline(SHARED, "ONE_F_ONE_B", 2))
    executable = compile_pipeline(program, jax.devices())
    assert not any(isinstance(each.instruction, Transfer) for each in executable.driver.issued)
    assert error(train(executable, 2), trained(2, 2)) < 1e-5


def test_donated_state_is_updated_in_place() -> None:
    executable = compiled("unequal", "ONE_F_ONE_B", 4)
    state, *_ = executable(initial_state(3), make_batch(0), np.float32(0))
    where = {name: array.unsafe_buffer_pointer() for name, array in shards(state).items()}
    new, *_ = executable(state, make_batch(0), np.float32(0))
    assert {name for name, array in state.items() if array.is_deleted()} >= set(PARAMETERS)
    assert {name: shards(new)[name].unsafe_buffer_pointer() for name in PARAMETERS} == {
        name: where[name] for name in PARAMETERS
    }


PARAMETERS = [f"{letter}{stage}" for letter in "wb" for stage in range(3)]


def shards(state: dict[str, Any]) -> dict[str, Any]:
    return {name: state[name].addressable_data(0) for name in PARAMETERS}


def test_state_that_is_not_donated_is_left_alone() -> None:
    executable = compiled("unequal", "ONE_F_ONE_B", 2, is_donated=False)
    state, *_ = executable(initial_state(3), make_batch(0), np.float32(0))
    before = jax.tree.map(np.asarray, {name: state[name] for name in PARAMETERS})
    batch = jax.tree.map(jnp.asarray, make_batch(1))
    first = executable(state, batch, np.float32(0))
    second = executable(state, batch, np.float32(0))
    assert error(first, second) == 0.0
    assert error({name: state[name] for name in PARAMETERS}, before) == 0.0
    assert error(batch, make_batch(1)) == 0.0


def test_donated_numpy_state_is_left_alone() -> None:
    executable = compiled("unequal", "ONE_F_ONE_B", 2)
    state = {n: np.asarray(v) if n in PARAMETERS else v for n, v in initial_state(3).items()}
    kept = {name: state[name].copy() for name in PARAMETERS}
    result = executable(state, make_batch(0), np.float32(0))
    jax.block_until_ready(result)
    assert error({name: state[name] for name in PARAMETERS}, kept) == 0.0


@pytest.mark.parametrize("num_microbatches", [1, 4])
def test_batches_may_lie_anywhere(num_microbatches: int) -> None:
    executable = compiled("unequal", "ONE_F_ONE_B", num_microbatches)
    host = make_batch(3)
    expected = executable(initial_state(3), host, np.float32(0))
    mesh = executable.driver.layout.stage_meshes[0]
    across = NamedSharding(Mesh(np.array(jax.devices()), ("all",)), PartitionSpec("all"))
    for place in (jax.devices()[7], NamedSharding(mesh, PartitionSpec("y")), across):
        actual = executable(initial_state(3), jax.device_put(host, place), np.float32(0))
        assert error(actual, expected) == 0.0


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that XLA on CPU could use where it is."""
    memory = np.zeros(array.nbytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


@pytest.mark.parametrize("num_microbatches", [1, 4])
def test_numpy_arrays_may_be_overwritten_while_the_step_runs(num_microbatches: int) -> None:
    executable = compiled("growing", "ONE_F_ONE_B", num_microbatches)
    state, host = initial_state(2), make_batch(0)
    expected = executable(state, host, np.float32(0))
    batch = {name: aligned(array) for name, array in host.items()}
    state = initial_state(2)
    given = {n: aligned(np.asarray(v)) for n, v in state.items() if n[0] in "wb"}
    leaves, store = executable.driver.start((state | given, batch, np.float32(0)))
    for array in (*batch.values(), *given.values()):
        array[:] = 0
    for each in executable.driver.issued:
        each.issue(store)
    assert error(executable.driver.finish(leaves, store), expected) == 0.0


def test_create_state_puts_leaves_where_they_are_owned() -> None:
    executable = compiled("unequal", "ONE_F_ONE_B", 4)
    state = executable.create_state(lambda: initial_state(3))
    assert error(state, initial_state(3)) < 1e-6
    assert {n: v.sharding for n, v in state.items()} == executable.input_shardings[0]
    result = executable(state, make_batch(0), np.float32(0))
    assert error(result, executable(initial_state(3), make_batch(0), np.float32(0))) < 1e-6
    with pytest.raises(ArgumentError, match="returns the state"):
        executable.create_state(lambda: 0.0)
    wrong = initial_state(3) | {"w0": jnp.zeros(3)}
    with pytest.raises(ArgumentError, match=r"expected a leaf float32\[8, 8\]"):
        executable.create_state(lambda: wrong)


@pytest.mark.parametrize("schedule", ["GPIPE", "ONE_F_ONE_B"])
def test_memory_is_what_lives_and_temporaries(schedule: str) -> None:
    executable = compiled("unequal", schedule, 4)
    state = executable.create_state(lambda: initial_state(3))
    leaves, store = executable.driver.start((state, make_batch(0), np.float32(0)))
    peak = Counter(live_bytes(store))
    for each in executable.driver.issued:
        each.issue(store)
        if isinstance(each.instruction, Run):
            stats = executable.compiled[each.instruction.task.kind].memory_analysis()
            assert stats is not None
            live = live_bytes(store)
            for device in executable.driver.layout.devices(each.mesh):
                peak[device] = max(peak[device], live[device] + stats.temp_size_in_bytes)
    jax.block_until_ready(executable.driver.finish(leaves, store))
    assert executable.memory_by_device() == peak


def live_bytes(store: list[Any]) -> Counter[Any]:
    live: Counter[Any] = Counter()
    arrays = {id(a): a for a in store if a is not None and not a.is_deleted()}
    for array in arrays.values():
        for shard in array.addressable_shards:
            live[shard.device] += shard.data.size * array.dtype.itemsize
    return live


def test_memory_of_gpipe_is_above_that_of_1f1b() -> None:
    gpipe = compiled("unequal", "GPIPE", 4).memory_by_device()
    peak = compiled("unequal", "ONE_F_ONE_B", 4).memory_by_device()
    assert set(peak) == set(jax.devices())
    last = compiled("unequal", "ONE_F_ONE_B", 4).driver.layout.devices(2)
    assert all(peak[device] < gpipe[device] for device in last)
    assert all(peak[device] <= gpipe[device] for device in peak)


def test_timeline_has_every_task_and_no_overlaps(tmp_path: Path) -> None:
    executable = compiled("unequal", "ONE_F_ONE_B", 4)
    measured = executable.timeline(initial_state(3), make_batch(0), np.float32(0))
    timeline, result = measured.measured, measured.result
    assert error(result, executable(initial_state(3), make_batch(0), np.float32(0))) == 0.0
    working = executable.driver.program.values.working_tasks(executable.driver.program.schedule)
    assert tuple(tuple(t.task for t in tasks) for tasks in timeline.meshes) == working
    ends = {timed.task: timed.end_seconds for timed in timeline.tasks()}
    for timed in timeline.tasks():
        for before in timeline.schedule.dependencies(timed.task):
            if before.phase.runs_per_microbatch:
                assert ends[before] <= timed.start_seconds
    for tasks in timeline.meshes:
        assert all(a.end_seconds <= b.start_seconds for a, b in pairwise(tasks))
    both = {"measured": timeline, "planned": measured.simulated()}
    save_trace(tmp_path / "trace.json", both)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(e["ph"] == "X" and e["pid"] == 0 for e in events) == len(ends)
    root = ElementTree.fromstring(to_svg(both))
    num_planned = sum(map(len, timeline.schedule.meshes))
    assert len(root.findall("{*}rect")) == len(ends) + num_planned


def test_late_watchers_do_not_delay_ends() -> None:
    issued = compiled("unequal", "ONE_F_ONE_B", 4).driver.issued
    seen = {k: float(k) for k, e in enumerate(issued) if isinstance(e.instruction, Run | Transfer)}
    assert without_late_watchers(issued, seen) == seen
    sends = next(k for k, e in enumerate(issued) if isinstance(e.instruction, Run))
    transfer = next(k for k in seen if k > sends and isinstance(issued[k].instruction, Transfer))
    late = seen | {sends: transfer + 0.5}
    assert without_late_watchers(issued, late)[sends] == transfer


def test_errors_name_what_is_wrong() -> None:
    program = make_pipeline(UNEQUAL, "ONE_F_ONE_B", 2)
    with pytest.raises(ClusterError, match="expected 8 devices for the 3 stages"):
        compile_pipeline(program, jax.devices()[:6])
    executable = compiled("unequal", "ONE_F_ONE_B", 2)
    state, batch = initial_state(3), make_batch(0)
    with pytest.raises(ArgumentError, match="arguments of the structure"):
        executable(state, batch)
    with pytest.raises(ArgumentError, match=r"float32\[16\] for argument \[1\]\['weights'\]"):
        executable(state, batch | {"weights": batch["weights"][:8]}, np.float32(0))
    with pytest.raises(ArgumentError, match=r"int32\[\] for argument \[0\]\['count'\], got float"):
        executable(state | {"count": jnp.zeros(())}, batch, np.float32(0))
