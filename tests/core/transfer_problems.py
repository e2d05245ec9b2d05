"""Random transfer problems, plans carried out on arrays, and optima by trying everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, prod

import numpy as np
from alpa_mlir import Link
from alpa_mlir._native import Send, Slice, TransferPlan, TransferProblem
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cost.device_mesh import native_link
from alpa_mlir.ir.spec import Spec
from alpa_mlir.program.placement import Placement, Tile
from hypothesis import strategies as st

# Rates and latencies of which sums are exact.
FAST, SLOW = Link(1.0, 8.0), Link(4.0, 1.0)


@dataclass(frozen=True)
class Ends:
    """An array that goes from one placement to another."""

    shape: tuple[int, ...]
    source: Mapping[int, Tile]
    target: Mapping[int, Tile]
    devices_per_node: int = 2
    links: tuple[Link, Link] = (FAST, SLOW)

    @property
    def problem(self) -> TransferProblem:
        found = TransferProblem(
            shape=list(self.shape),
            element_bytes=4,
            source=list(self.source.items()),
            target=list(self.target.items()),
            devices_per_node=self.devices_per_node,
            intra_node=native_link(self.links[0]),
            inter_node=native_link(self.links[1]),
        )
        found.check()
        return found


def whole(shape: Sequence[int], devices: Sequence[int]) -> dict[int, Tile]:
    """All of the array on each device."""
    return dict.fromkeys(devices, tuple((0, size) for size in shape))


def rows(num_rows: int, devices: Sequence[int]) -> dict[int, Tile]:
    """A vector in equal parts, in the order of the devices."""
    size = num_rows // len(devices)
    return {device: ((i * size, (i + 1) * size),) for i, device in enumerate(devices)}


def carry_out(ends: Ends, plan: TransferPlan) -> None:
    """Does the sends in their order on arrays; what is wanted must be there, and right."""
    values = np.arange(prod(ends.shape)).reshape(ends.shape)
    memory: dict[int, np.ndarray] = {}
    for device in {*ends.source, *ends.target}:
        memory[device] = np.full(ends.shape, -1)
        if device in ends.source:
            memory[device][_index(ends.source[device])] = values[_index(ends.source[device])]
    for send in plan.sends:
        index = _index(plan.slices[send.slice].tile)
        sent = memory[send.sender][index].reshape(-1)[send.begin : send.end]
        part = memory[send.receiver][index].reshape(-1).copy()
        part[send.begin : send.end] = sent
        memory[send.receiver][index] = part.reshape(memory[send.receiver][index].shape)
    for device, tile in ends.target.items():
        np.testing.assert_array_equal(memory[device][_index(tile)], values[_index(tile)])


def _index(tile: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(*interval) for interval in tile)


@st.composite
def placements(draw: st.DrawFn, shape: tuple[int, ...], first_device: int) -> Placement:
    """Any sharding on a mesh of up to eight devices; dims that do not divide are replicated."""
    sizes = draw(st.sampled_from([(1,), (2,), (3,), (4,), (6,), (2, 2), (2, 3), (4, 2), (2, 2, 2)]))
    names = tuple("xyz"[: len(sizes)])
    spec: list[list[str]] = [[] for _ in shape]
    for name, size in zip(names, sizes, strict=True):
        dim = draw(st.integers(-1, len(shape) - 1))
        if dim >= 0:
            parts = size * prod(sizes[names.index(other)] for other in spec[dim])
            if shape[dim] % parts == 0:
                spec[dim].append(name)
    devices = tuple(range(first_device, first_device + prod(sizes)))
    return Placement(LogicalMesh(names, sizes), devices, _as_spec(spec))


def _as_spec(axes: list[list[str]]) -> Spec:
    return tuple(map(tuple, axes))


@st.composite
def transfers(draw: st.DrawFn) -> Ends:
    """Meshes apart, side by side in a node, or with devices in common."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12]), max_size=3)))
    source = draw(placements(shape, 0))
    target = draw(placements(shape, draw(st.integers(0, 10))))
    if draw(st.booleans()):
        source, target = target, source
    return Ends(
        shape,
        source.tiles(shape),
        target.tiles(shape),
        draw(st.integers(1, 8)),
        (draw(links), draw(links)),
    )


links = st.builds(
    Link,
    st.sampled_from([0.0, 1e-6, 1.0, 30.0]),
    st.sampled_from([1.0, 3.0, 50.0, 1e9]),
)


def fastest_of_all(ends: Ends, slices: Sequence[Slice]) -> float:
    """The least makespan over every order of whole slices and every sender of each."""
    wants = [(number, device) for number, each in enumerate(slices) for device in each.receivers]
    best = inf
    for order in _permutations(wants):
        choices = [
            [*slices[number].holders, *(r for n, r in order[:i] if n == number)]
            for i, (number, _) in enumerate(order)
        ]
        for senders in product(*choices):
            sends = [
                Send(
                    slice=number,
                    begin=0,
                    end=prod(stop - start for start, stop in slices[number].tile),
                    sender=sender,
                    receiver=receiver,
                )
                for sender, (number, receiver) in zip(senders, order, strict=True)
            ]
            best = min(best, time_in_order(ends, sends, slices))
    return best


def _permutations(wants: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    if not wants:
        return [[]]
    return [
        [each, *rest]
        for i, each in enumerate(wants)
        for rest in _permutations(wants[:i] + wants[i + 1 :])
    ]


def time_in_order(ends: Ends, sends: Sequence[Send], slices: Sequence[Slice]) -> float:
    """Each as soon as its sender has the slice and the sends before it leave its links."""
    inside, across = ends.links
    free: dict[tuple[str, int], float] = {}
    since = {(n, device): 0.0 for n, each in enumerate(slices) for device in each.holders}
    for send in sends:
        num_bytes = 4 * (send.end - send.begin)
        nodes = [end // ends.devices_per_node for end in (send.sender, send.receiver)]
        used = {("out", send.sender): inside, ("in", send.receiver): inside}
        if nodes[0] != nodes[1]:
            used |= {("leaving", nodes[0]): across, ("entering", nodes[1]): across}
        start = max(since[send.slice, send.sender], *(free.get(link, 0.0) for link in used))
        latency = (inside if nodes[0] == nodes[1] else across).latency_seconds
        for link, rate in used.items():
            free[link] = start + num_bytes / rate.bytes_per_second
        arrival = max(free[link] for link in used) + latency
        since[send.slice, send.receiver] = arrival
    return max(since.values(), default=0.0)
