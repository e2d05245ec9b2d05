"""The parts of a model as its user named them: the tensors of a layer, optimizer state included.

Names are paths in pytrees. A block is what shares its path up to the last numbered part, such as
`layers[3]`; what optimizers keep has the name of its parameter at its end and belongs beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alpa_mlir.plan.data import TensorPlan

_PART = re.compile(r"\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]|\.?([^.\[\]]+)")
_NUMBERED = re.compile(r"(.*?)_?(\d+)")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Tensors of one part of the model.

    Attributes:
      stage: that keeps them; None where none does.
      parts: of each tensor its name within the block, or that of its parameter.
    """

    name: str
    stage: int | None
    tensors: tuple[TensorPlan, ...]
    parts: tuple[str, ...]

    @property
    def bytes_per_device(self) -> int:
        return sum(tensor.bytes_per_device for tensor in self.tensors)


def blocks_of(tensors: Iterable[TensorPlan]) -> tuple[Block, ...]:
    """All tensors by block and stage, in the order in which blocks first come; what is no state is
    a block by its role."""
    every = list(tensors)
    paths = [_path(tensor.name) for tensor in every if tensor.role == "state"]
    parameters = _parameters(paths)
    groups: dict[tuple[str, int | None], list[tuple[TensorPlan, str]]] = {}
    for tensor in every:
        block, part = tensor.role, tensor.name
        if tensor.role == "state":
            block, part = _cut(parameters[_path(tensor.name)])
        groups.setdefault((block, tensor.stage), []).append((tensor, part))
    ordered = sorted(groups.items(), key=lambda item: _order(item[0][0]))
    return tuple(Block(name, stage, *zip(*group, strict=True)) for (name, stage), group in ordered)


def _path(name: str) -> Path:
    """`state.params['layers'][0]` as ("state", "params", "layers", "0")."""
    parts = (next(filter(None, match), "") for match in _PART.findall(name))
    return tuple(parts) or (name,)


def _parameters(paths: Iterable[Path]) -> Mapping[Path, Path]:
    """Of every path that of the parameter it is of, without the root of all parameters.

    Optimizers keep trees like that of the parameters, deeper down or in arguments of their own. So
    where the same rests follow on several such places, and these have most of the state, a path's
    parameter is its rest; else what the paths have in common is the root.
    """
    every = list(paths)
    rests: dict[Path, set[Path]] = {}
    for path in every:
        for length in range(len(path)):
            rests.setdefault(path[:length], set()).add(path[length:])
    trees: dict[frozenset[Path], list[Path]] = {}
    for prefix, below in rests.items():
        trees.setdefault(frozenset(below), []).append(prefix)
    roots = {
        prefix
        for below, prefixes in trees.items()
        if 2 * len(below) * len(prefixes) >= len(every) and _are_mirrors(prefixes)
        for prefix in prefixes
    }
    common = _common_prefix(every)
    return {path: _rest(path, roots) or path[len(common) :] or path for path in every}


def _are_mirrors(prefixes: list[Path]) -> bool:
    """Whether they may lead to parameters and to what an optimizer keeps of them.

    Modules of equal parts are trees of equal rests, too, but side by side below one root.
    """
    depths = {len(prefix) for prefix in prefixes}
    return len(depths) > 1 or (depths == {1} and len(prefixes) > 1)


def _rest(path: Path, roots: set[Path]) -> Path:
    """Behind the shortest root: what is below it may hold trees like one another, too."""
    for length in range(len(path)):
        if path[:length] in roots:
            return path[length:]
    return ()


def _common_prefix(paths: list[Path]) -> Path:
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    length = next(
        (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)) - 1,
    )
    return first[:length]


def _cut(path: Path) -> tuple[str, str]:
    """A parameter's path as the name of its block and the name within that."""
    numbered = [k for k, part in enumerate(path) if _NUMBERED.fullmatch(part)]
    length = numbered[-1] + 1 if numbered else 1
    return _text(path[:length]), _text(path[length:]) or path[-1]


def _text(path: Path) -> str:
    return "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in path).lstrip(".")


def _order(name: str) -> tuple[object, ...]:
    """Numbers by size: layer 10 comes after layer 9."""
    return tuple(
        (1, len(part.lstrip("0")), part.lstrip("0")) if part.isdecimal() else (0, 0, part)
        for part in re.split(r"(\d+)", name)
    )
