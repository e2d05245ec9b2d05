"""How long the stage DP takes on the size of Alpa's own synthetic test.

    python benchmarks/stage_dp.py [--num-layers 24] [--num-nodes 4] [--num-devices 8]

Compute times are those of equal layers that scale worse than linearly with devices, each with
noise, so that no two candidates are alike: harder than a real model, whose layers repeat. Alpa's
own took 142 s (24 layers, 4 x 8 devices, 4 logical meshes, 64 microbatches; numba, 2 cores).
"""

import time

import click
import numpy as np
from alpa_mlir._native import ScheduleKind, StageCandidate, StageProblem, Submesh
from alpa_mlir.cluster.submeshes import standard_submeshes
from alpa_mlir.inter_op.choose import choose_stages

GOAL_SECONDS = 1.0
NUM_LOGICAL_MESHES = 4
# Name: (exponent of the speedup by devices, memory limit in GB).
CASES = {
    "memory abounds": (0.9, 1000.0),
    "memory binds": (0.9, 16.0),
    "many stages": (0.5, 1000.0),
    "many stages, memory binds": (0.5, 20.0),
}


def synthetic_problem(
    num_layers: int, cluster: tuple[int, int], scaling: float, limit_gb: float, kind: ScheduleKind
) -> StageProblem:
    random = np.random.default_rng(0)
    shapes = [Submesh(*shape) for shape in standard_submeshes(*cluster)]
    candidates = [
        StageCandidate(
            first_layer=first,
            end_layer=end,
            submesh=submesh,
            compute_seconds=(end - first) / shape.num_devices**scaling * random.uniform(1, 1.3),
            update_seconds=(end - first) / shape.num_devices * random.uniform(0.2, 0.3),
            resident_bytes=int((end - first) / shape.num_devices * random.uniform(15e9, 20e9)),
            activation_bytes=int((end - first) / shape.num_devices * random.uniform(1e9, 2e9)),
        )
        for first in range(num_layers)
        for end in range(first + 1, num_layers + 1)
        for submesh, shape in enumerate(shapes)
        for _ in range(NUM_LOGICAL_MESHES)
    ]
    transfers = random.uniform(0.001, 0.02, (num_layers - 1) * len(shapes) ** 2)
    return StageProblem(
        num_layers=num_layers,
        cluster=Submesh(*cluster),
        submeshes=shapes,
        candidates=candidates,
        transfer_seconds=transfers.tolist(),
        memory_limit_bytes=int(limit_gb * 1e9),
        num_microbatches=64,
        schedule=kind,
    )


@click.command()
@click.option("--num-layers", default=24)
@click.option("--num-nodes", default=4)
@click.option("--num-devices", default=8, help="Per node.")
def main(num_layers: int, num_nodes: int, num_devices: int) -> None:
    """Prints the time of each case and fails if one takes longer than the goal."""
    slowest = 0.0
    for kind in (ScheduleKind.ONE_F_ONE_B, ScheduleKind.EAGER_ONE_F_ONE_B):
        for name, case in CASES.items():
            problem = synthetic_problem(num_layers, (num_nodes, num_devices), *case, kind)
            start = time.perf_counter()
            plan = choose_stages([problem])
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            plan.verify()
            shapes = " ".join(f"{s.submesh[0]}x{s.submesh[1]}" for s in plan.stages)
            click.echo(
                f"{kind.name:18} {name:26} {seconds:6.3f} s, "
                f"step {plan.step_seconds:6.2f} s, stages {shapes}"
            )
    click.echo(f"slowest {slowest:.3f} s (goal: at most {GOAL_SECONDS} s)")
    raise SystemExit(slowest > GOAL_SECONDS)


if __name__ == "__main__":
    main()
