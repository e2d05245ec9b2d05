"""Devices that are not there: their clocks, the energy they draw, the tasks that run on them.

Time passes where tasks run and where somebody sleeps, so that what is measured has closed forms.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
from alpa_mlir.schedule.schedule import Phase, TaskKind

HIGHEST, WAITING_WATTS = 1000.0, 10.0
_SECONDS = {Phase.FORWARD: 0.01, Phase.BACKWARD: 0.02, Phase.UPDATE: 0.004}


class FakeWorld:
    """A clock on the wall, and devices that count what they draw."""

    def __init__(self, num_stages: int) -> None:
        self.now = 0.0
        self.megahertz = [HIGHEST] * num_stages
        self.drawn = [0.0] * num_stages

    def pass_time(self, seconds: float, busy_stage: int | None = None) -> None:
        self.now += seconds
        for stage, megahertz in enumerate(self.megahertz):
            watts = busy_watts(megahertz) if stage == busy_stage else WAITING_WATTS
            self.drawn[stage] += watts * seconds


def busy_watts(megahertz: float) -> float:
    return WAITING_WATTS + 90 * (megahertz / HIGHEST) ** 3


def task_seconds(kind: TaskKind, megahertz: float) -> float:
    """Updates wait for memory, whatever the clock."""
    slower = 1.0 if kind.phase == Phase.UPDATE else HIGHEST / megahertz
    return (1 + kind.stage) * _SECONDS[kind.phase] * slower


class FakeMeter:
    """Sets the clocks of a world and reads its counters; `fails_at` is what raises, and when."""

    def __init__(self, world: FakeWorld, fails_at: str = "", flag: Path | None = None) -> None:
        self.requests: list[tuple[int, float]] = []
        self.num_restored = 0
        self._world = world
        self._fails_at = fails_at
        self._flag = flag

    def set_megahertz(self, stage: int, megahertz: float) -> None:
        self._fail("set", "Insufficient Permissions")
        self.requests.append((stage, megahertz))
        self._world.megahertz[stage] = megahertz

    def restore(self) -> None:
        self._fail("restore", "the device is lost")
        self.num_restored += 1
        self._world.megahertz = [HIGHEST] * len(self._world.megahertz)

    def restore_command(self) -> Sequence[str]:
        return ["touch", str(self._flag)] if self._flag else ["true"]

    def joules(self, stage: int) -> float:
        self._fail("read", "Not Supported")
        return 0.0 if self._fails_at == "count" else self._world.drawn[stage]

    def _fail(self, what: str, message: str) -> None:
        if what == self._fails_at:
            raise OSError(message)


class FakeTask:
    def __init__(self, world: FakeWorld, kind: TaskKind) -> None:
        self.kind = kind
        self._world = world

    def run(self, times: int) -> None:
        megahertz = self._world.megahertz[self.kind.stage]
        seconds = task_seconds(self.kind, megahertz)
        self._world.pass_time(times * seconds, self.kind.stage)


class FakePipeline:
    """Two stages whose update has two rounds; `raises` when its third task has been measured."""

    stage_devices: Sequence[Sequence[Any]] = ((0,), (1,))

    def __init__(self, world: FakeWorld, raises: BaseException | None = None) -> None:
        self._world = world
        self._raises = raises

    def tasks_alone(self, *args: Any) -> Iterator[FakeTask]:
        assert args == ("state", "batch")
        for number, kind in enumerate(self.kinds()):
            if number == 3 and self._raises:
                raise self._raises
            yield FakeTask(self._world, kind)

    @staticmethod
    def kinds() -> list[TaskKind]:
        order = [(0, Phase.FORWARD), (1, Phase.FORWARD), (1, Phase.BACKWARD), (0, Phase.BACKWARD)]
        return [
            *(TaskKind(*each) for each in order),
            *(TaskKind(stage, Phase.UPDATE, number) for number in (0, 1) for stage in (0, 1)),
        ]


class SlowPipeline(FakePipeline):
    """Its tasks take real time too."""

    def tasks_alone(self, *args: Any) -> Iterator[FakeTask]:
        for task in super().tasks_alone(*args):
            print("measuring", flush=True)
            time.sleep(60)
            yield task


def assert_restored_after_kill(code: str, first_line: str, folder: Path) -> None:
    """Kills a program when it has said its first line: whoever watches it leaves the flag.

    Args:
      code: with places for `tests`, a folder to import from, and `flag`, the file that is to come.
    """
    flag = folder / "restored"
    running = subprocess.Popen(
        [sys.executable, "-c", code.format(tests=str(Path(__file__).parents[1]), flag=str(flag))],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(alpa.__file__).parents[1])},
    )
    with running:
        assert running.stdout is not None
        assert running.stdout.readline() == f"{first_line}\n"
        assert not flag.exists()
        running.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not flag.exists():
        assert time.monotonic() < deadline, "the watcher has not restored the clocks"
        time.sleep(0.05)
