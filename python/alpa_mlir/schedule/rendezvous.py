"""Proves that lists run to their end also where a send ends only when its receive is issued.

So it is with collective permutes and with NCCL's send and receive: each side stands still until the
other one comes to the same transfer. In the lists of `instructions` only the sender has it; here
each mesh has what it receives as well, at the place where it is issued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.instructions import Instruction, InstructionLists, Transfer
from alpa_mlir.schedule.issue_order import issue_order


@dataclass(frozen=True)
class Step:
    """An instruction of a mesh's list, as it or the receiver of the transfer issues it."""

    mesh: int
    instruction: Instruction

    @property
    def meshes(self) -> tuple[int, ...]:
        """Those that issue it."""
        done = self.instruction
        return (self.mesh, done.target) if isinstance(done, Transfer) else (self.mesh,)

    def __str__(self) -> str:
        return f"{self.instruction} of mesh {self.mesh}"


def with_receives(
    order: Iterable[tuple[int, Instruction]], num_meshes: int
) -> tuple[tuple[Step, ...], ...]:
    """What every mesh issues, in its order, if all issue their parts of one order."""
    found: list[list[Step]] = [[] for _ in range(num_meshes)]
    for mesh, instruction in order:
        step = Step(mesh, instruction)
        for each in step.meshes:
            found[each].append(step)
    return tuple(map(tuple, found))


def verify_lists_meet(lists: InstructionLists) -> None:
    """`verify_rendezvous` of what meshes issue in `issue_order`.

    Raises:
      ScheduleError: as `verify_rendezvous`.
    """
    verify_rendezvous(with_receives(issue_order(lists), len(lists.meshes)))


def verify_rendezvous(meshes: Sequence[Sequence[Step]]) -> None:
    """Proves that every mesh comes to the end of its list, whatever the others' speed.

    Which transfer goes first never matters: those that can go have no mesh in common.

    Raises:
      ScheduleError: a transfer is in the list of one of its meshes only, or meshes wait for one
        another for ever; the circle is named.
    """
    _verify_pairs(meshes)
    position = [0] * len(meshes)

    def head(mesh: int) -> Step | None:
        return meshes[mesh][position[mesh]] if position[mesh] < len(meshes[mesh]) else None

    pending = list(range(len(meshes)))
    while pending:
        mesh = pending.pop()
        while (step := head(mesh)) and all(head(each) == step for each in step.meshes):
            for each in step.meshes:
                position[each] += 1
            pending += [each for each in step.meshes if each != mesh]
    stuck = [mesh for mesh in range(len(meshes)) if head(mesh)]
    if stuck:
        raise ScheduleError(
            "expected every send to meet its receive, got a deadlock: "
            + "; ".join(_circle(stuck[0], head))
        )


def _verify_pairs(meshes: Sequence[Sequence[Step]]) -> None:
    sets = [set(steps) for steps in meshes]
    for mesh, steps in enumerate(meshes):
        if len(sets[mesh]) != len(steps):
            twice = next(step for n, step in enumerate(steps) if step in steps[:n])
            raise ScheduleError(f"mesh {mesh}: expected '{twice}' once, got it twice")
        for step in steps:
            for each in step.meshes:
                if step not in sets[each]:
                    raise ScheduleError(
                        f"expected '{step}' in the list of mesh {each}, which takes part, got it "
                        f"in that of mesh {mesh} only"
                    )


def _circle(start: int, head: Callable[[int], Step | None]) -> list[str]:
    """Each mesh of a circle with what it stands at, and for whom it waits there.

    A mesh that is stuck waits for the one other mesh of its transfer, which stands elsewhere.
    """
    path: list[int] = []
    mesh = start
    while mesh not in path:
        path.append(mesh)
        mesh = _awaited(mesh, head)
    circle = path[path.index(mesh) :]
    return [f"mesh {m} at '{head(m)}' waits for mesh {_awaited(m, head)}" for m in circle]


def _awaited(mesh: int, head: Callable[[int], Step | None]) -> int:
    step = head(mesh)
    return next(each for each in step.meshes if each != mesh) if step else mesh
