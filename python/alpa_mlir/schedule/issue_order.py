"""One order of all meshes' instructions, for the program that drives them."""

from __future__ import annotations

from collections.abc import Sequence

from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.instructions import (
    Instruction,
    InstructionLists,
    Run,
    StartSums,
    Transfer,
)
from alpa_mlir.schedule.values import Buffer


def issue_order(lists: InstructionLists) -> list[tuple[int, Instruction]]:
    """Mesh and instruction, such that a value is sent before it is read where it arrives.

    Meshes take turns of one task each, so that all are kept busy. Where several processes drive
    meshes together, each issues this same order: then their transfers match.

    Raises:
      ScheduleError: the meshes wait for one another for ever.
    """
    awaited = _find_arrivals(lists)
    position = [0] * len(lists.meshes)
    order: list[tuple[int, Instruction]] = []
    total = sum(map(len, lists.meshes))
    while len(order) < total:
        num_issued = len(order)
        for mesh, instructions in enumerate(lists.meshes):
            begin = position[mesh]
            while position[mesh] < len(instructions):
                instruction = instructions[position[mesh]]
                is_next_turn = position[mesh] > begin and _begins_turn(instructions, position[mesh])
                if is_next_turn or not awaited[mesh].isdisjoint(instruction.reads):
                    break
                if isinstance(instruction, Transfer):
                    awaited[instruction.target].difference_update(instruction.reads)
                order.append((mesh, instruction))
                position[mesh] += 1
        if len(order) == num_issued:
            raise ScheduleError(
                f"expected an order of all {total} instructions, got stuck after {num_issued}: the "
                "meshes wait for one another"
            )
    return order


def _begins_turn(instructions: Sequence[Instruction], position: int) -> bool:
    """Whether a task comes there, or the sums that are started for one."""
    is_for_sums = position > 0 and isinstance(instructions[position - 1], StartSums)
    return isinstance(instructions[position], (Run, StartSums)) and not is_for_sums


def _find_arrivals(lists: InstructionLists) -> list[set[Buffer]]:
    """What each mesh receives during the step."""
    arrivals: list[set[Buffer]] = [set() for _ in lists.meshes]
    for instructions in lists.meshes:
        for instruction in instructions:
            if isinstance(instruction, Transfer):
                arrivals[instruction.target].update(instruction.reads)
    return arrivals
