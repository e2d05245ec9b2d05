"""Reads a checkpoint into the shardings that a step wants, under whatever plan it was written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import jax
import numpy as np
from jax.sharding import NamedSharding

from alpa_mlir.checkpoint import store
from alpa_mlir.checkpoint.leaves import check_types, name, paths_of
from alpa_mlir.errors import CheckpointError, DamagedCheckpointError
from alpa_mlir.processes.group import ProcessGroup, process_group


def restore(
    path: str | Path,
    tree: Any,
    avals: Sequence[Any],
    shardings: Sequence[NamedSharding],
    number: int | None,
) -> Any:
    """A stored state, every leaf read by the devices that keep it.

    Args:
      tree: a `PyTreeDef`, with the types and shardings of its leaves.
      number: of the checkpoint; None is the latest that is whole.

    Raises:
      CheckpointError: there is none, or it is of another state.
    """
    group = process_group()
    numbers = _seen_by_all(group, store.saved_numbers(path))
    if number is not None and number not in numbers:
        raise CheckpointError(
            f"expected checkpoint {number} in {path}, which has {_listed(numbers)}; name one of "
            "those, or another folder"
        )
    for candidate in reversed(numbers if number is None else [number]):
        state, damage = None, ""
        try:
            state = _read(path, candidate, tree, avals, shardings)
        except DamagedCheckpointError as error:
            damage = str(error)
        damage = _found_by_any(group, damage)
        if not damage:
            return state
        if candidate in (number, numbers[0]):
            raise DamagedCheckpointError(f"{damage}; name another number or folder")
        _set_aside(path, candidate, damage, is_ours=group is None or group.index == 0)
        _found_by_any(group, "")  # nobody reads the folder while it changes
    raise CheckpointError(
        f"expected checkpoints in {path}, got none; alpa.save writes them, alpa.saved_numbers "
        "says which there are"
    )


def _seen_by_all(group: ProcessGroup | None, numbers: list[int]) -> list[int]:
    """Of several processes, what each of them sees in the folder."""
    if group is None:
        return numbers
    seen = [set[int](json.loads(text)) for text in group.gather("saved", json.dumps(numbers))]
    return sorted(set.intersection(*seen))


def _found_by_any(group: ProcessGroup | None, damage: str) -> str:
    """All processes restore the same checkpoint: what one cannot read, none takes."""
    if group is None:
        return damage
    found = enumerate(group.gather("damage", damage))
    return next((f"process {process} {text}" for process, text in found if text), "")


def _read(
    path: str | Path,
    number: int,
    tree: Any,
    avals: Sequence[Any],
    shardings: Sequence[NamedSharding],
) -> Any:
    paths = paths_of(tree)
    wanted = {
        leaf: jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=sharding)
        for leaf, aval, sharding in zip(paths, avals, shardings, strict=True)
    }
    with closing(store.Reader(path, number)) as reader:
        check_types(wanted, reader.types(), reader.where)
        found = reader.read(wanted)
    for leaf, array in found.items():
        if array.dtype != wanted[leaf].dtype:  # PRNG keys are stored as their words
            raise CheckpointError(
                f"expected {name(leaf)} to be {wanted[leaf].dtype}, got {array.dtype} in "
                f"{reader.where}; restore it for a step that was compiled for such a state"
            )
    arrays = [
        found[leaf] if aval.size else _empty(aval, sharding)
        for leaf, aval, sharding in zip(paths, avals, shardings, strict=True)
    ]
    return tree.unflatten(map(_with_weak_type, arrays, avals))


def _empty(aval: Any, sharding: NamedSharding) -> jax.Array:
    whole = np.zeros(aval.shape, aval.dtype)
    return jax.make_array_from_callback(
        aval.shape, sharding, lambda index: whole[index], dtype=aval.dtype
    )


def _with_weak_type(array: jax.Array, aval: Any) -> jax.Array:
    """As the step was compiled for it: another type would be planned anew."""
    if not aval.weak_type or not array.sharding.addressable_devices:
        return array
    kind = jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=True, sharding=array.sharding)
    return jax.jit(lambda x: x, out_shardings=array.sharding).lower(kind).compile()(array)


def _set_aside(path: str | Path, number: int, damage: str, is_ours: bool) -> None:
    """So that it is the latest no longer: its number is free again. One process does it."""
    folder = Path(path) / str(number)
    beside = folder.with_name(f"{number}.{uuid4().hex[:8]}.damaged")
    done = "process 0 sets it aside"
    try:
        if is_ours:
            folder.rename(beside)
            done = f"it is {beside.name} now"
    except OSError:
        done = "it stays where it is"
    warnings.warn(f"{damage}; {done}, and the one before it is restored", stacklevel=4)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
