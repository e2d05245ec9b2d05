"""What the watchdog makes of heartbeats, and what a process says of itself."""

from typing import Any

import jax.numpy as jnp
import pytest
from alpa_mlir.errors import ProcessError
from alpa_mlir.processes.activity import Activity
from alpa_mlir.processes.wait_graph import (
    Observation,
    Wait,
    find_circle,
    observation_from_json,
)
from alpa_mlir.processes.watchdog import Listener


def observation(progress: str, *waits: Wait, step: int = 3) -> Observation:
    return Observation(progress, step, bool(waits), f"has issued all of step {step}", waits)


ON_ONE = Wait(1, "run F0.3 on mesh 0", "x.0 of mesh 1")
ON_ZERO = Wait(0, "run B0.1 on mesh 1", "y.0 of mesh 0")
WAITING = observation("p", ON_ONE)


def listen(
    listener: Listener,
    seconds: range,
    one: Observation,
    zero: Observation = WAITING,
) -> None:
    """Both processes send heartbeats every second."""
    for now in seconds:
        listener.listen(float(now), {0: zero.to_json(now), 1: one.to_json(now)})


def test_observation_is_read_as_it_was_written() -> None:
    said = observation("p", ON_ONE, ON_ZERO)
    assert observation_from_json(said.to_json(7)) == (7, said)


@pytest.mark.parametrize("text", ["", "[1]", '[1, "p", 2, true, "", [["x", "", ""]]]', "{}"])
def test_heartbeat_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ProcessError, match="expected the heartbeat of a process, got"):
        observation_from_json(text)


def test_step_without_progress_hangs() -> None:
    listener = Listener(2, heartbeat_seconds=20, hang_seconds=10)
    listen(listener, range(11), observation("q", ON_ZERO))
    assert listener.verdict(10.0) is None
    listen(listener, range(11, 12), observation("q", ON_ZERO))
    verdict = listener.verdict(11.0)
    assert verdict
    assert verdict.reason.startswith("step 3 has made no progress for 11 s")
    assert verdict.graph.splitlines() == [
        "  process 0, last heartbeat 0 s ago: has issued all of step 3",
        "    waits at 'run F0.3 on mesh 0' for x.0 of mesh 1 of process 1",
        "  process 1, last heartbeat 0 s ago: has issued all of step 3",
        "    waits at 'run B0.1 on mesh 1' for y.0 of mesh 0 of process 0",
        "  a circle: process 0 waits for process 1 waits for process 0",
    ]


def test_progress_of_any_process_is_progress() -> None:
    listener = Listener(2, heartbeat_seconds=20, hang_seconds=10)
    for now in range(40):
        listen(listener, range(now, now + 1), observation(f"q{now // 8}", ON_ZERO))
        assert listener.verdict(float(now)) is None


@pytest.mark.parametrize(
    ("hang_seconds", "one"), [(None, observation("q", ON_ZERO)), (10, observation("q"))]
)
def test_nothing_hangs_where_none_is_asked_for_or_in_a_step(
    hang_seconds: float | None, one: Observation
) -> None:
    listener = Listener(2, heartbeat_seconds=20, hang_seconds=hang_seconds)
    zero = observation("p") if hang_seconds else observation("p", ON_ONE)
    listen(listener, range(100), one, zero)
    assert listener.verdict(100.0) is None


def test_silent_process_counts_as_dead() -> None:
    listener = Listener(3, heartbeat_seconds=20, hang_seconds=None)
    for now in range(22):  # process 2 has never said anything
        listen(listener, range(now, now + 1), observation("q", ON_ZERO))
    verdict = listener.verdict(21.0)
    assert verdict
    assert verdict.reason.startswith("process 2 has been silent for 21 s and counts as dead")
    assert "process 2, last heartbeat 21 s ago: has not said what it does" in verdict.graph


def test_silence_while_nobody_listened_is_none() -> None:
    listener = Listener(2, heartbeat_seconds=20, hang_seconds=10)
    listen(listener, range(3), observation("q", ON_ZERO))
    listen(listener, range(100, 101), observation("q", ON_ZERO))
    assert listener.verdict(100.0) is None


@pytest.mark.parametrize(
    ("waits", "circle"),
    [
        ({}, []),
        ({0: [1], 1: []}, []),
        ({0: [1], 1: [2], 2: [1]}, [1, 2]),
        ({0: [0]}, [0]),
        ({0: [1, 2], 1: [3], 2: [3], 3: [4]}, []),
        ({0: [1, 2], 1: [], 2: [3], 3: [0]}, [0, 2, 3]),
    ],
)
def test_circle_is_found(waits: dict[int, list[int]], circle: list[int]) -> None:
    assert find_circle(waits) == circle


# --- What a process says ---


class View:
    def place(self, position: int) -> str:
        return f"place {position}"

    def reader(self, position: int) -> str:
        return f"reader of {position}"

    def buffers(self, position: int) -> str:
        return f"buffers of {position}"

    def partners(self, position: int) -> list[int]:
        return [0, 5]


class Arriving:
    """Like an array that is on its way."""

    def __init__(self, size: int = 4) -> None:
        self.size = self.nbytes = size
        self.is_there = False

    def is_ready(self) -> bool:
        return self.is_there


def test_step_in_hand_is_told() -> None:
    activity = Activity()
    assert not activity.observe().is_in_step
    assert "test_watchdog.py" in activity.observe().doing
    activity.begin(View())
    activity.position = 2
    said = activity.observe()
    assert said.is_in_step
    assert said.doing == "issues 'place 2' of step 1"
    assert said.waits == (Wait(5, "place 2", ""),)
    activity.end([jnp.ones(3).block_until_ready()])
    assert not activity.observe().is_in_step


def test_step_that_raises_is_none_in_hand() -> None:
    activity = Activity()
    activity.begin(View())
    activity.give_up()
    assert not activity.observe().is_in_step


def test_first_array_of_each_sender_is_waited_for() -> None:
    activity = Activity()
    arrays: list[Any] = [Arriving() for _ in range(3)]
    activity.begin(View())
    for position, (sender, array) in enumerate(zip([1, 1, 2], arrays, strict=True)):
        activity.position = position
        activity.await_arrays(sender, [array])
    activity.end([])
    before = activity.observe()
    assert before.waits == (
        Wait(1, "reader of 0", "buffers of 0"),
        Wait(2, "reader of 2", "buffers of 2"),
    )
    arrays[0].is_there = True
    after = activity.observe()
    assert after.waits[0] == Wait(1, "reader of 1", "buffers of 1")
    assert after.progress != before.progress
    for array in arrays:
        array.is_there = True
    assert not activity.observe().is_in_step


def test_few_bytes_are_kept_of_what_has_arrived() -> None:
    activity = Activity()
    large = Arriving(200 << 20)
    activity.begin(View())
    activity.await_arrays(1, [large])
    activity.await_arrays(2, [Arriving(100 << 20)])
    activity.end([])
    assert [wait.process for wait in activity.observe().waits] == [1]
    large.is_there = True
    assert not activity.observe().waits
    activity.await_arrays(2, [Arriving(100 << 20)])
    assert [wait.process for wait in activity.observe().waits] == [2]
