"""Transfers between unlike meshes beside Alpa's ways, simulated: the cases of the MLSys'23 paper.

    python benchmarks/cross_mesh.py [--results FILE.json]

The cases are those of "On Optimizing the Communication of Model Parallelism" as its authors
published them (github.com/alpa-projects/alpa, benchmark/alpa/resharding/suite.py: mesh and tensor
shapes, shardings; float32). Cases 7 and 8 are the same there; their target says 4 replicas on 8
devices, taken here as all 8. The cluster is the one of that benchmark, AWS p3.8xlarge: nodes of
four V100 (NVLink, 150 GB/s a direction) and 10 Gbit/s between nodes; latencies of 5 and 30 us are
estimates.

Ways, all on the same clock (`TransferProblem.time`):
  send/recv: every receiver gets each slice from the sender that has least to send.
  + all-gather: receivers of one tile in a node get a part each and gather them along a ring; not
    where a tile is wanted in several nodes (Alpa leaves those alone).
  broadcast: each slice through all its receivers, in as many parts as is best for it; senders and
    order by load. Alpa's two ways, by size and by rounds of slices that share no card (200
    random tries), whichever is faster: more than Alpa does.

Fails if a plan takes longer than a broadcast, or sends more than it must between nodes.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path

import click
from alpa_mlir._native import Link, Send, Slice, TransferProblem
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.program.placement import Placement

NVLINK = Link(5e-6, 150e9)
NETWORK = Link(30e-6, 1.25e9)
DEVICES_PER_NODE = 4
ELEMENT_BYTES = 4
NUM_PARTS = (1, 4, 16, 64)
ROUNDING = 1e-12  # of sums in another order
NUM_TRIES = 200


@dataclass(frozen=True)
class Case:
    """Meshes as nodes and devices; of every dim the axes, x over nodes, y in them."""

    source_mesh: tuple[int, int]
    target_mesh: tuple[int, int]
    shape: tuple[int, ...]
    source: tuple[str, ...]
    target: tuple[str, ...]

    @property
    def problem(self) -> TransferProblem:
        problem = TransferProblem(
            shape=list(self.shape),
            element_bytes=ELEMENT_BYTES,
            source=_tiles(self.shape, self.source_mesh, self.source, first_node=0),
            target=_tiles(self.shape, self.target_mesh, self.target, self.source_mesh[0]),
            devices_per_node=DEVICES_PER_NODE,
            intra_node=NVLINK,
            inter_node=NETWORK,
        )
        problem.check()
        return problem


def _tiles(
    shape: tuple[int, ...], mesh: tuple[int, int], spec: tuple[str, ...], first_node: int
) -> list[tuple[int, list[tuple[int, int]]]]:
    numbers = [
        (first_node + node) * DEVICES_PER_NODE + device
        for node in range(mesh[0])
        for device in range(mesh[1])
    ]
    placement = Placement(LogicalMesh(("x", "y"), mesh), tuple(numbers), tuple(map(tuple, spec)))
    return [(device, list(tile)) for device, tile in placement.tiles(shape).items()]


CUBE = (1024, 1024, 512)
CASES = {
    "1": Case((2, 4), (2, 4), CUBE, ("x", "", ""), ("x", "", "")),
    "2": Case((2, 4), (2, 4), CUBE, ("", "", ""), ("x", "", "")),
    "3": Case((2, 4), (2, 4), CUBE, ("", "x", ""), ("x", "", "")),
    "4": Case((2, 4), (2, 4), CUBE, ("", "xy", ""), ("xy", "", "")),
    "5": Case((2, 4), (2, 4), CUBE, ("y", "", ""), ("x", "", "")),
    "6": Case((2, 4), (3, 4), (3072, 1024, 170), ("x", "", ""), ("x", "", "")),
    "7": Case((1, 4), (2, 4), CUBE, ("y", "", ""), ("", "", "")),
    "8": Case((1, 4), (2, 4), CUBE, ("y", "", ""), ("", "", "")),
    "9": Case((2, 4), (2, 4), CUBE, ("", "x", ""), ("", "", "x")),
} | {
    f"1 to {nodes}x{devices}": Case((1, 1), (nodes, devices), (1 << 28,), ("",), ("",))
    for nodes, devices in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (3, 2), (4, 2)]
}


@dataclass(frozen=True)
class Figures:
    """Seconds of each way; bytes between nodes of our plan, and the least there can be."""

    send_recv: float
    all_gather: float
    broadcast: float
    planned: float
    bound: float
    is_optimal: bool
    crossing_bytes: int
    least_crossing_bytes: int
    planning_seconds: float

    @property
    def is_never_slower(self) -> bool:
        """Than the broadcasts."""
        return self.planned <= self.broadcast * (1 + ROUNDING)


def simulate(case: Case) -> Figures:
    problem = case.problem
    slices = problem.slices()
    start = time.perf_counter()
    plan = problem.plan()
    planning_seconds = time.perf_counter() - start
    problem.verify(plan)
    return Figures(
        send_recv=_seconds(problem, slices, list(send_recv(slices))),
        all_gather=_seconds(problem, slices, list(with_all_gather(slices))),
        broadcast=fastest_broadcast(problem, slices),
        planned=plan.makespan_seconds,
        bound=plan.bound_seconds,
        is_optimal=plan.is_optimal,
        crossing_bytes=plan.crossing_bytes,
        least_crossing_bytes=plan.least_crossing_bytes,
        planning_seconds=planning_seconds,
    )


def _seconds(problem: TransferProblem, slices: Sequence[Slice], sends: list[Send]) -> float:
    return problem.time(slices, sends)[1]


def _size(each: Slice) -> int:
    return prod(stop - start for start, stop in each.tile)


def _node(device: int) -> int:
    return device // DEVICES_PER_NODE


# --- Alpa's ways ---


def send_recv(slices: Sequence[Slice]) -> Iterator[Send]:
    loads: dict[int, int] = {}
    for number, each in enumerate(slices):
        for receiver in each.receivers:
            yield _send(number, 0, _size(each), _least_loaded(loads, each), receiver)


def with_all_gather(slices: Sequence[Slice]) -> Iterator[Send]:
    """All sends, then all rings."""
    loads: dict[int, int] = {}
    rings: list[Send] = []
    for number, each in enumerate(slices):
        receivers = each.receivers
        if len({_node(device) for device in receivers}) > 1:
            for receiver in receivers:
                yield _send(number, 0, _size(each), _least_loaded(loads, each), receiver)
            continue
        parts = _cut(_size(each), len(receivers))
        for (begin, end), receiver in zip(parts, receivers, strict=True):
            yield _send(number, begin, end, _least_loaded(loads, each), receiver)
        for step in range(len(receivers) - 1):
            for place, sender in enumerate(receivers):
                part = parts[(place - step) % len(receivers)]
                rings.append(_send(number, *part, sender, receivers[(place + 1) % len(receivers)]))
    yield from rings


def _send(number: int, begin: int, end: int, sender: int, receiver: int) -> Send:
    return Send(slice=number, begin=begin, end=end, sender=sender, receiver=receiver)


def _least_loaded(loads: dict[int, int], each: Slice) -> int:
    sender = min(each.holders, key=lambda device: loads.get(device, 0))
    loads[sender] = loads.get(sender, 0) + _size(each)
    return sender


def _cut(size: int, count: int) -> list[tuple[int, int]]:
    return [(size * i // count, size * (i + 1) // count) for i in range(count)]


Assignment = list[tuple[int, int]]


def fastest_broadcast(problem: TransferProblem, slices: Sequence[Slice]) -> float:
    """Over both ways to balance loads and all numbers of parts."""
    return min(
        _seconds(problem, slices, list(broadcast(slices, assignment, num_parts)))
        for assignment in (by_size(slices), by_rounds(slices))
        for num_parts in NUM_PARTS
    )


def broadcast(slices: Sequence[Slice], order: Assignment, num_parts: int) -> Iterator[Send]:
    """Slices one after the other, each from its sender along the chain of its receivers."""
    for number, sender in order:
        for begin, end in _cut(_size(slices[number]), num_parts):
            chain = [sender, *slices[number].receivers]
            for a, b in pairwise(chain):
                yield _send(number, begin, end, a, b)


def by_size(slices: Sequence[Slice]) -> Assignment:
    """In the order of tiles, each from the node that has least to send."""
    loads: dict[int, int] = {}
    order: Assignment = []
    for number, each in enumerate(slices):
        sender = min(each.holders, key=lambda device: loads.get(_node(device), 0))
        loads[_node(sender)] = loads.get(_node(sender), 0) + _size(each)
        order.append((number, sender))
    return order


def by_rounds(slices: Sequence[Slice]) -> Assignment:
    """Rounds of as many slices as can go at once, each card busy with one."""
    generator = random.Random(0)
    order: Assignment = []
    loads: dict[int, int] = {}
    left = list(range(len(slices)))
    while left:
        tries = (_one_round(slices, left, loads, generator) for _ in range(NUM_TRIES))
        chosen = max(tries, key=len)
        for number, sender in chosen:
            loads[_node(sender)] = loads.get(_node(sender), 0) + _size(slices[number])
            left.remove(number)
        order += chosen
    return order


def _one_round(
    slices: Sequence[Slice], left: list[int], loads: dict[int, int], generator: random.Random
) -> Assignment:
    used: set[int] = set()
    chosen: Assignment = []
    for number in generator.sample(left, len(left)):
        receiving = {_node(device) for device in slices[number].receivers}
        free = [device for device in slices[number].holders if _node(device) not in used]
        if used & receiving or not free:
            continue
        sender = min(free, key=lambda device: loads.get(_node(device), 0))
        used |= receiving | {_node(sender)}
        chosen.append((number, sender))
    return chosen


@click.command()
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path))
def main(results: Path | None) -> None:
    """Prints the simulated milliseconds of every case and way."""
    found = {name: simulate(case) for name, case in CASES.items()}
    columns = ("send/recv", "all-gather", "broadcast", "plan", "bound")
    click.echo(f"{'case (ms)':10}" + "".join(f"{name:>12}" for name in columns) + "   GB crossing")
    for name, case in found.items():
        seconds = (case.send_recv, case.all_gather, case.broadcast, case.planned, case.bound)
        click.echo(
            f"{name:10}"
            + "".join(f"{1000 * each:12.1f}" for each in seconds)
            + f"   {case.crossing_bytes / 1e9:.2f} of {case.least_crossing_bytes / 1e9:.2f}"
            + f", planned in {1000 * case.planning_seconds:.1f} ms"
        )
    if results is not None:
        values = {name: vars(case) for name, case in found.items()}
        results.write_text(json.dumps(values, indent=2) + "\n")
    raise SystemExit(
        any(
            not case.is_never_slower or case.crossing_bytes > case.least_crossing_bytes
            for case in found.values()
        )
    )


if __name__ == "__main__":
    main()
