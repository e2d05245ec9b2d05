"""Steps simulated from the costs of their instructions, for pipeline_overhead.py.

Once as they run here, on fewer cores than devices, and once on meshes that share nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from alpa_mlir.runtime.issued import IssuedInstruction
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.instructions import Free, Run, Transfer
from alpa_mlir.schedule.schedule import Phase
from alpa_mlir.simulate.timeline import StageDurations, simulate
from pipeline_rig import Cost


@dataclass
class Job:
    """Work in a line of others, which begins when those it needs have ended."""

    line: Any
    needs: list[int]
    seconds_left: float
    num_cores: float


def simulate_shared(
    executable: PipelineExecutable[Any], costs: Sequence[Cost], num_cores: float
) -> float:
    """Seconds of a step whose instructions share cores with one another and the driver."""
    return run_jobs(make_jobs(executable.driver.issued, costs), num_cores)


def make_jobs(issued: Sequence[IssuedInstruction], costs: Sequence[Cost]) -> list[Job]:
    """For every instruction one of the driver (even numbers) and one of its mesh or link."""
    jobs: list[Job] = []
    origin: dict[Any, int] = {}
    for each, cost in zip(issued, costs, strict=True):
        jobs.append(Job("driver", [], cost.driver_seconds, 1.0))
        number, instruction = len(jobs), each.instruction
        reads = [origin[each.mesh, b] for b in instruction.reads if (each.mesh, b) in origin]
        if isinstance(instruction, Transfer):
            line: Any = (each.mesh, instruction.target)
            written = [(instruction.target, buffer) for buffer in instruction.reads]
        else:
            line, written = each.mesh, [(each.mesh, buffer) for buffer in instruction.writes]
        needs = [] if isinstance(instruction, Free) else reads
        jobs.append(Job(line, [number - 1, *needs], cost.seconds, cost.num_cores))
        origin.update(dict.fromkeys(written, number))
    return jobs


def run_jobs(jobs: Sequence[Job], num_cores: float) -> float:
    """When the last has ended. Of each line the first that has not ended runs, if it may."""
    lines: defaultdict[Any, list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        lines[job.line].append(number)
    for waiting in lines.values():
        waiting.reverse()
    has_ended = [False] * len(jobs)
    now = 0.0
    while any(lines.values()):
        heads = [waiting[-1] for waiting in lines.values() if waiting]
        running = [n for n in heads if all(has_ended[need] for need in jobs[n].needs)]
        wanted = sum(jobs[number].num_cores for number in running)
        rate = min(1.0, num_cores / wanted) if wanted else 1.0
        elapsed = min(jobs[number].seconds_left for number in running)
        now += elapsed / rate
        for number in running:
            jobs[number].seconds_left -= elapsed
            if jobs[number].seconds_left <= 1e-12:
                has_ended[number] = True
                lines[jobs[number].line].pop()
    return now


def simulate_unshared(executable: PipelineExecutable[Any], costs: Sequence[Cost]) -> float:
    """Seconds of the schedule on meshes of their own, with tasks as long as they are alone."""
    seconds: defaultdict[tuple[int, Phase], list[float]] = defaultdict(list)
    sends: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for each, cost in zip(executable.driver.issued, costs, strict=True):
        match each.instruction:
            case Run(task):
                seconds[task.stage, task.phase].append(cost.seconds)
            case Transfer():
                sends[each.mesh, each.instruction.target].append(cost.seconds)
            case _:
                pass
    schedule = executable.driver.program.schedule
    durations = [
        StageDurations(
            forward_seconds=mean(seconds[stage, Phase.FORWARD]),
            backward_seconds=mean(seconds[stage, Phase.BACKWARD]),
            update_seconds=sum(seconds[stage, Phase.UPDATE]),
            send_forward_seconds=mean(sends[stage, stage + 1]),
            send_backward_seconds=mean(sends[stage, stage - 1]),
        )
        for stage in range(schedule.num_stages)
    ]
    return simulate(schedule, durations).makespan_seconds


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return fmean(found) if found else 0.0
