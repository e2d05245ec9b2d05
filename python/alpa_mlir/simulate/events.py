"""What happens in a simulated step, and when: the data that reports and pictures are made from.

    simulation = plan.simulate()
    simulation.timeline.meshes[0]       # the tasks of a mesh, in order: `TimedTask`
    simulation.transfers                # what went between meshes: `TransferEvent`
    simulation.memory[0].bytes          # what a device of stage 0 held, step by step: `MemoryCurve`
    simulation.links[0].busy_seconds    # what every link carried: `LinkUse`

Seconds count from the start of the step. Stage k runs on mesh k.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from alpa_mlir.simulate.timeline import Timeline


@dataclass(frozen=True)
class TransferPiece:
    """A time in which a transfer had one speed.

    Attributes:
      speed: the part of the speed that it would have alone; less than 1 where others share a link.
    """

    start_seconds: float
    end_seconds: float
    speed: float


@dataclass(frozen=True)
class TransferEvent:
    """Values on their way from the mesh of a stage to that of another.

    Attributes:
      source, target: stages.
      microbatch: of the task that made them; None for what is made once in a step.
      num_bytes: that all devices of the target receive.
      ready_seconds: when the values were made; start_seconds: when earlier transfers between the
        same two stages had ended; end_seconds: when all had arrived. The task that waits for them
        starts no earlier.
      pieces: when data flowed, after the latency of the link, and how fast.
    """

    source: int
    target: int
    microbatch: int | None
    num_bytes: int
    ready_seconds: float
    start_seconds: float
    end_seconds: float
    pieces: tuple[TransferPiece, ...]


@dataclass(frozen=True)
class MemoryCurve:
    """What one device of a stage holds over time: `bytes[k]` from `seconds[k]` to `seconds[k + 1]`,
    the last to the end of the step. All devices of a stage hold the same.

    Attributes:
      limit_bytes: what the device has.
    """

    stage: int
    seconds: tuple[float, ...]
    bytes: tuple[int, ...]
    limit_bytes: int

    @property
    def peak_bytes(self) -> int:
        return max(self.bytes, default=0)

    def at(self, seconds: float) -> int:
        """Bytes held at that time."""
        held = 0
        for start, num_bytes in zip(self.seconds, self.bytes, strict=True):
            if start > seconds:
                break
            held = num_bytes
        return held


@dataclass(frozen=True)
class LinkUse:
    """What a link carried of transfers between stages; collectives within a stage do not count.

    Attributes:
      name: "device 3 out", "device 3 in", "node 0 out" or "node 0 in": what one device sends to and
        receives from others of its node, and what all devices of one node, from other nodes.
      bytes_per_second: what it can carry.
      num_bytes: carried in the step; busy_seconds: the time in which it carried something.
    """

    name: str
    bytes_per_second: float
    num_bytes: float
    busy_seconds: float


@dataclass(frozen=True)
class Bubble:
    """A time in which a mesh has nothing to run."""

    mesh: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Simulation:
    """A step of a plan on its cluster.

    Attributes:
      timeline: when every task runs. `TimedTask.reduction_seconds` is the time that an update
        spends on reducing gradients at its beginning.
      transfers: between stages, in the order in which they started.
      memory: of a device of every stage; links: those that carried something.
    """

    timeline: Timeline
    transfers: tuple[TransferEvent, ...]
    memory: tuple[MemoryCurve, ...]
    links: tuple[LinkUse, ...]

    @property
    def step_seconds(self) -> float:
        return self.timeline.makespan_seconds

    @property
    def bubble_fraction(self) -> float:
        """The part of all meshes' time in which they run nothing."""
        return self.timeline.bubble_fraction

    @property
    def peak_memory_bytes(self) -> int:
        """Of the device that holds most at once."""
        return max((curve.peak_bytes for curve in self.memory), default=0)

    def bubbles(self) -> Iterator[Bubble]:
        """By mesh and time, until the end of the step."""
        for mesh, tasks in enumerate(self.timeline.meshes):
            starts = [*(timed.start_seconds for timed in tasks), self.step_seconds]
            ends = [0.0, *(timed.end_seconds for timed in tasks)]
            for end, start in zip(ends, starts, strict=True):
                if start > end:
                    yield Bubble(mesh, end, start)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            "step_seconds": self.step_seconds,
            "bubble_fraction": self.bubble_fraction,
            "tasks": [
                {
                    "mesh": mesh,
                    "name": str(timed.task),
                    "stage": timed.task.stage,
                    "phase": timed.task.phase.name.lower(),
                    "microbatch": timed.task.microbatch,
                    "round": timed.task.round,
                    "start_seconds": timed.start_seconds,
                    "end_seconds": timed.end_seconds,
                    "reduction_seconds": timed.reduction_seconds,
                }
                for mesh, tasks in enumerate(self.timeline.meshes)
                for timed in tasks
            ],
            "transfers": [asdict(transfer) for transfer in self.transfers],
            "memory": [asdict(curve) for curve in self.memory],
            "links": [asdict(link) for link in self.links],
        }
