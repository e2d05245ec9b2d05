"""How far a simulated step exceeds what the stage problem's formula says, on random pipelines.

    python benchmarks/stage_formula.py [--num-pipelines 4000]

See docs/decisions/2026-11-21-what-the-stage-dp-costs.md. One means never.
"""

import random
from itertools import pairwise

import click
from alpa_mlir._native import ScheduleKind, StageCandidate, StageProblem, Submesh
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.simulate.timeline import StageDurations, simulate

KINDS = (
    ScheduleKind.GPIPE,
    ScheduleKind.ONE_F_ONE_B,
    ScheduleKind.EAGER_ONE_F_ONE_B,
    ScheduleKind.INFERENCE,
)
CASES = ("in proportion", "equal transfers", "any times", "any times, no transfers")


def draw_stages(
    rng: random.Random, num_stages: int, kind: ScheduleKind, case: str
) -> list[dict[str, int]]:
    """Seconds of every stage; backwards are twice forwards except in the cases of any times."""
    has_transfers = case != CASES[3]
    stages: list[dict[str, int]] = []
    for _ in range(num_stages):
        forward = rng.randint(1, 6)
        sent_before = stages[-1]["send_forward"] if stages else 0
        stage = {
            "forward": forward,
            "backward": 2 * forward if case in CASES[:2] else rng.randint(1, 6),
            "update": rng.randint(0, 6),
            "send_forward": has_transfers * rng.randint(0, 6),
            "send_backward": {CASES[0]: 2 * sent_before, CASES[1]: sent_before}.get(
                case, has_transfers * rng.randint(0, 6)
            ),
        }
        if kind == ScheduleKind.INFERENCE:
            stage |= {"backward": 0, "update": 0, "send_backward": 0}
        stages.append(stage)
    return stages


def planned_seconds(
    stages: list[dict[str, int]], num_microbatches: int, kind: ScheduleKind
) -> float:
    candidates = [
        StageCandidate(
            first_layer=index,
            end_layer=index + 1,
            submesh=0,
            compute_seconds=stage["forward"] + stage["backward"],
            update_seconds=stage["update"],
        )
        for index, stage in enumerate(stages)
    ]
    problem = StageProblem(
        num_layers=len(stages),
        cluster=Submesh(len(stages), 1),
        submeshes=[Submesh(1, 1)],
        candidates=candidates,
        transfer_seconds=[a["send_forward"] + b["send_backward"] for a, b in pairwise(stages)],
        memory_limit_bytes=0,
        num_microbatches=num_microbatches,
        schedule=kind,
    )
    return problem.evaluate(list(range(len(stages)))).step_seconds


def longest_ratio(kind: ScheduleKind, case: str, num_pipelines: int) -> float:
    """The longest simulated step relative to the planned one."""
    rng = random.Random(0)
    longest = 0.0
    for _ in range(num_pipelines):
        num_stages, num_microbatches = rng.randint(1, 5), rng.randint(1, 10)
        stages = draw_stages(rng, num_stages, kind, case)
        durations = [
            StageDurations(**{f"{name}_seconds": seconds for name, seconds in stage.items()})
            for stage in stages
        ]
        timeline = simulate(make_schedule(kind, num_stages, num_microbatches), durations)
        planned = planned_seconds(stages, num_microbatches, kind)
        longest = max(longest, timeline.makespan_seconds / planned)
    return longest


@click.command()
@click.option("--num-pipelines", default=4000, help="Per schedule and case.")
def main(num_pipelines: int) -> None:
    """Prints the ratios and fails if a proportionate pipeline is slower than planned."""
    is_bound = True
    for kind in KINDS:
        ratios = {case: longest_ratio(kind, case, num_pipelines) for case in CASES}
        is_bound &= ratios[CASES[0]] <= 1
        cells = ", ".join(f"{case} {ratio:.3f}" for case, ratio in ratios.items())
        click.echo(f"{kind.name:18} {cells}")
    raise SystemExit(not is_bound)


if __name__ == "__main__":
    main()
