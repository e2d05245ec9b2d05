"""Shardings that are chosen by hand: which dim of which parameter is split along which axis.

A rule names a parameter by the end of its path, and gives the axes of its dims. Axes are those of
meshes of ours: "x" for data, "y" for tensors. Parameters without a rule are whole on every device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from alpa_mlir.cluster.logical_mesh import AXIS_NAMES
from alpa_mlir.ir.spec import Spec
from alpa_mlir.models.training import TrainState

Rules = Sequence[tuple[str, Spec]]

_X, _Y = ("x",), ("y",)

# The first product of a pair is split by columns, the second by rows, so that a layer needs one sum
# after attention and one after the feed-forward (Shoeybi et al., Megatron-LM, 2019, section 3);
# embeddings are split by words.
_GPT: Rules = (
    ("tokens", (_Y, ())),
    ("head", (_Y, ())),
    ("attention/qkv", ((), (), _Y, ())),
    ("attention/qkv_bias", ((), _Y, ())),
    ("attention/output", (_Y, (), ())),
    ("feed_forward/input", ((), _Y)),
    ("feed_forward/input_bias", (_Y,)),
    ("feed_forward/output", (_Y, ())),
)
_LLAMA: Rules = (
    ("tokens", (_Y, ())),
    ("head", ((), _Y)),
    ("attention/query", ((), _Y, (), ())),
    ("attention/key", ((), _Y, ())),
    ("attention/value", ((), _Y, ())),
    ("attention/output", (_Y, (), (), ())),
    ("feed_forward/gate", ((), _Y)),
    ("feed_forward/input", ((), _Y)),
    ("feed_forward/output", (_Y, ())),
)
MEGATRON: Mapping[str, Rules] = {"gpt": _GPT, "llama": _LLAMA}

# Experts lie on different devices, all else on each (Lepikhin et al., GShard, 2020, section 3.2).
GSHARD: Mapping[str, Rules] = {
    "moe": (("layers/input", (_X, (), ())), ("layers/output", (_X, (), ()))),
    "fine_moe": (
        ("mixture/gate", (_X, (), ())),
        ("mixture/input", (_X, (), ())),
        ("mixture/output", (_X, (), ())),
    ),
}


def place(
    arguments: tuple[TrainState, Any],
    rules: Rules,
    mesh_shape: tuple[int, ...],
    shards_optimizer: bool = False,
) -> tuple[TrainState, Any]:
    """State and batch with shardings on an abstract mesh: the batch along "x", the rest by rule.

    Moments of the optimizer lie as their parameters do. An axis that divides no dim is left out.

    Args:
      arguments: shapes and types, as `Workload.abstract_arguments` gives them.
      mesh_shape: sizes of "x", or of "x" and "y".
      shards_optimizer: whether moments are also split along "x", in the first dim that allows it
        (ZeRO-1).
    """
    if prod(mesh_shape) == 1:
        return arguments
    mesh = AbstractMesh(mesh_shape, AXIS_NAMES[: len(mesh_shape)])
    sizes = dict(zip(mesh.axis_names, mesh_shape, strict=True))
    state, batch = arguments

    def placed(path: Any, leaf: Any, splits_data: bool) -> Any:
        spec = _spec(_words(path), leaf.shape, rules, sizes)
        if splits_data:
            spec = _split_along_x(spec, leaf.shape, sizes)
        return _on(mesh, leaf, spec)

    def of_params(path: Any, leaf: Any) -> Any:
        return placed(path, leaf, splits_data=False)

    def of_optimizer(path: Any, leaf: Any) -> Any:
        return placed(path, leaf, splits_data=shards_optimizer)

    def of_batch(leaf: Any) -> Any:
        return _on(mesh, leaf, (_X, *((),) * (leaf.ndim - 1)))

    with_path = jax.tree_util.tree_map_with_path
    return (
        TrainState(
            with_path(of_params, state.params),
            with_path(of_optimizer, state.optimizer_state),
            state.statistics,
        ),
        jax.tree.map(of_batch, batch),
    )


def _words(path: Any) -> str:
    """The keys of dicts on the way to a leaf, the last ones last."""
    return "/".join(str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey))


def _spec(words: str, shape: tuple[int, ...], rules: Rules, sizes: Mapping[str, int]) -> Spec:
    for end, spec in rules:
        is_meant = words == end or words.endswith(f"/{end}")
        if is_meant and len(spec) == len(shape):
            return tuple(
                tuple(axis for axis in axes if axis in sizes and size % sizes[axis] == 0)
                for size, axes in zip(shape, spec, strict=True)
            )
    return ((),) * len(shape)


def _split_along_x(spec: Spec, shape: tuple[int, ...], sizes: Mapping[str, int]) -> Spec:
    for dim, (size, axes) in enumerate(zip(shape, spec, strict=True)):
        pieces = prod(sizes[axis] for axis in axes) * sizes["x"]
        if size % pieces == 0 and "x" not in axes:
            return (*spec[:dim], ("x", *axes), *spec[dim + 1 :])
    return spec


def _on(mesh: AbstractMesh, leaf: Any, spec: Spec) -> Any:
    entries = (axes or None for axes in spec)
    sharding = NamedSharding(mesh, PartitionSpec(*entries))
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
