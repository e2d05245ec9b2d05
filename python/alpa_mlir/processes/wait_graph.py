"""Who waits for whom: what processes say of themselves, read as data and written for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpa_mlir.errors import ProcessError


@dataclass(frozen=True)
class Wait:
    """One process waits for another one.

    Attributes:
      process: whom it waits for.
      instruction: where, for people. buffers: for what; empty if they work together there.
    """

    process: int
    instruction: str
    buffers: str

    def __str__(self) -> str:
        if self.buffers:
            return f"waits at '{self.instruction}' for {self.buffers} of process {self.process}"
        return f"waits at '{self.instruction}' for process {self.process} to take part"


@dataclass(frozen=True)
class Observation:
    """What a process is at.

    Attributes:
      progress: another text whenever something went on.
      step: how many it has begun. is_in_step: whether that has not ended.
      doing: for people.
    """

    progress: str
    step: int
    is_in_step: bool
    doing: str
    waits: tuple[Wait, ...]

    def to_json(self, beat: int) -> str:
        waits = [[wait.process, wait.instruction, wait.buffers] for wait in self.waits]
        return json.dumps([beat, self.progress, self.step, self.is_in_step, self.doing, waits])


def observation_from_json(text: str) -> tuple[int, Observation]:
    """The number of the heartbeat, and what came with it.

    Raises:
      ProcessError: it is none of ours.
    """
    try:
        beat, progress, step, is_in_step, doing, waits = json.loads(text)
        found = tuple(Wait(int(p), str(i), str(b)) for p, i, b in waits)
        return int(beat), Observation(str(progress), int(step), bool(is_in_step), str(doing), found)
    except (ValueError, TypeError) as error:
        raise ProcessError(
            f"expected the heartbeat of a process, got {text[:80]!r}; use the same alpa_mlir in "
            "every process"
        ) from error


@dataclass(frozen=True)
class Heard:
    """The last that was heard of a process.

    Attributes:
      silent_seconds: since its last heartbeat. observation: None if it has never said anything.
    """

    silent_seconds: float
    observation: Observation | None


def describe(heard: Mapping[int, Heard]) -> str:
    """The wait graph as lines, a process each; last the circle, if there is one."""
    lines: list[str] = []
    for process, each in sorted(heard.items()):
        head = f"  process {process}, last heartbeat {each.silent_seconds:.0f} s ago:"
        if each.observation is None:
            lines.append(f"{head} has not said what it does")
            continue
        lines.append(f"{head} {each.observation.doing}")
        lines += [f"    {wait}" for wait in each.observation.waits]
    if circle := find_circle({p: _waited_for(each) for p, each in heard.items()}):
        around = [*circle, circle[0]]
        lines.append("  a circle: " + " waits for ".join(f"process {p}" for p in around))
    return "\n".join(lines)


def _waited_for(heard: Heard) -> list[int]:
    return [wait.process for wait in heard.observation.waits] if heard.observation else []


def find_circle(waits: Mapping[Any, Sequence[Any]]) -> list[Any]:
    """Nodes of which each waits for the next, and the last for the first; empty if none do."""
    done: set[Any] = set()
    for start in waits:
        path: list[Any] = [start]
        rest = [iter(waits[start])]
        while path:
            following = next(rest[-1], None)
            if following is None:
                done.add(path.pop())
                rest.pop()
            elif following in path:
                return path[path.index(following) :]
            elif following not in done:
                path.append(following)
                rest.append(iter(waits.get(following, ())))
    return []
