"""Reads the four ways HLO text writes which devices take part in a collective."""

import re
from math import prod

import numpy as np

from alpa_mlir.xla.hlo_text import ints

Groups = tuple[tuple[int, ...], ...]

_EXPLICIT = re.compile(r"\{(?:\{[\d,]*\},?)*\}")
_IOTA = re.compile(r"\[(?P<shape>[\d,]+)\]<=\[(?P<dims>[\d,]+)\](?:T\((?P<perm>[\d,]+)\))?")
_MESH = re.compile(
    r"mesh\[(?P<axes>[^\]]*)\]"
    r"(?:, ?device_ids=\((?P<ids>(?:[^()]|\([^()]*\))*)\))? ?\{(?P<group>[^}]*)\}"
)
_AXIS = re.compile(r"'(?P<name>[^']*)'(?:=(?P<size>\d+))?(?::\((?P<before>\d+)\)(?P<part>\d+))?")


def parse_replica_groups(text: str, num_devices: int) -> Groups:
    """Device groups of the attribute value that `text` starts with.

    The forms are `{{0,1},{2,3}}` (and `{}`: all devices), `[2,4]<=[8]`, `[4,2]<=[2,4]T(1,0)`, and
    `mesh['x'=2,'y'=4] {'y'}` with optional `device_ids=(...)` and sub-axes `'y':(2)2`.

    Raises:
      ValueError: `text` starts with none of them.
    """
    if match := _MESH.match(text):
        return _mesh_groups(match["axes"], match["ids"], match["group"])
    if match := _IOTA.match(text):
        ids = _iota(match["dims"], match["perm"])
        return _tuples(ids.reshape(ints(match["shape"])))
    if match := _EXPLICIT.match(text):
        groups = tuple(tuple(ints(g)) for g in re.findall(r"\{([\d,]+)\}", match[0]))
        return groups or (tuple(range(num_devices)),)
    raise ValueError(f"expected replica groups, got '{text[:80]}'")


def _mesh_groups(axes: str, ids: str | None, group: str) -> Groups:
    sizes = {m["name"]: int(m["size"]) for m in _AXIS.finditer(axes)}
    wanted = {m["name"]: m for m in _AXIS.finditer(group)}
    # Split every axis into the parts before, of and after the sub-axis the group runs over.
    shape: list[int] = []
    grouped: list[int] = []
    for name, size in sizes.items():
        before, part = 1, 1
        if name in wanted:
            m = wanted[name]
            before, part = (int(m["before"]), int(m["part"])) if m["part"] else (1, size)
            grouped.append(len(shape) + 1)
        shape += [before, part, size // (before * part)]
    devices = _device_ids(ids, prod(sizes.values())).reshape(shape)
    # Members are listed in the order the group names its axes.
    order = {name: i for i, name in enumerate(wanted)}
    names = list(sizes)
    grouped.sort(key=lambda dim: order[names[dim // 3]])
    rest = [dim for dim in range(len(shape)) if dim not in grouped]
    members = prod(shape[dim] for dim in grouped)
    return _tuples(devices.transpose(rest + grouped).reshape(-1, members))


def _device_ids(text: str | None, num_devices: int) -> np.ndarray:
    if not text:
        return np.arange(num_devices)
    if match := re.match(r"\[(?P<dims>[\d,]+)\](?:T\((?P<perm>[\d,]+)\))?$", text):
        return _iota(match["dims"], match["perm"])
    return np.array(ints(text))


def _iota(dims: str, perm: str | None) -> np.ndarray:
    shape = ints(dims)
    ids = np.arange(prod(shape)).reshape(shape)
    return ids.transpose(ints(perm)) if perm else ids


def _tuples(ids: np.ndarray) -> Groups:
    return tuple(tuple(int(i) for i in row) for row in ids)
