"""The leaves of a state: where they are in it, and what they are.

A stored state has the same paths, as text, and nothing else of the classes that it was made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alpa_mlir.errors import CheckpointError
from alpa_mlir.stacked_array import StackedArray

Path = tuple[str, ...]

# Of a state that is one array: what is stored has names.
_ONLY_LEAF: Path = ("array",)


@dataclass(frozen=True)
class LeafType:
    """What is stored of a leaf; of PRNG keys, their words.

    Attributes:
      dtype: its name.
    """

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def leaf_type(aval: Any) -> LeafType:
    """Of an array, or of what describes one."""
    dtype = aval.dtype
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        aval = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(aval.shape, dtype))
    return LeafType(tuple(aval.shape), np.dtype(aval.dtype).name)


def paths_and_leaves(state: Any) -> list[tuple[Path, Any]]:
    """In the order of `jax.tree.leaves`."""
    found = jax.tree_util.tree_flatten_with_path(state)[0]
    return [(tuple(map(_key_text, keys)) or _ONLY_LEAF, leaf) for keys, leaf in found]


def paths_of(tree: Any) -> list[Path]:
    """Of the leaves of a `PyTreeDef`."""
    return [path for path, _ in paths_and_leaves(tree.unflatten(range(tree.num_leaves)))]


def storable(state: Any) -> Any:
    """The state as arrays in a container.

    Empty arrays, which orbax refuses, are None: there is nothing to store of them. NumPy
    arrays are copied, so that the caller may go on writing into them.

    Raises:
      CheckpointError: a leaf is no array and no number, two leaves have one name, or there is none.
    """
    _check_names(path for path, _ in paths_and_leaves(state))
    arrays = jax.tree_util.tree_map_with_path(_array, state)
    is_one_array = jax.tree.structure(state) == jax.tree.structure(0)
    return {_ONLY_LEAF[0]: arrays} if is_one_array else arrays


def check_types(avals: Mapping[Path, Any], stored: Mapping[Path, LeafType], where: str) -> None:
    """Whether a stored state is what a step takes.

    Raises:
      CheckpointError: it is not; the message names the first leaf that is another.
    """
    wanted = {path: leaf_type(aval) for path, aval in avals.items() if aval.size}
    advice = "restore it for a step that was compiled for such a state"
    for path, expected in wanted.items():
        if path not in stored:
            raise CheckpointError(
                f"expected {name(path)} {expected} in the state of {where}, which has no such "
                f"leaf{_instead(wanted, stored)}; {advice}"
            )
        if stored[path] != expected:
            raise CheckpointError(
                f"expected {name(path)} to be {expected}, got {stored[path]} in {where}; {advice}"
            )
    for path, found in stored.items():
        if path not in wanted:
            raise CheckpointError(
                f"expected the leaves of the step's state, got {name(path)} {found} besides in "
                f"{where}; {advice}"
            )


def name(path: Path) -> str:
    """As orbax writes it."""
    return ".".join(path)


def _instead(wanted: Mapping[Path, Any], stored: Mapping[Path, Any]) -> str:
    """The first leaf that only the stored state has."""
    others = (path for path in stored if path not in wanted)
    first = next(others, None)
    return "" if first is None else f" but has {name(first)}"


def _key_text(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _check_names(paths: Iterable[Path]) -> None:
    known: dict[str, Path] = {}
    for path in paths:
        other = known.setdefault(name(path), path)
        if other != path:  # orbax would write one over the other
            raise CheckpointError(
                f"expected leaves of different names, got {name(path)} from the keys {other} and "
                f"{path}; rename a key that has a dot in it"
            )
    if not known:
        raise CheckpointError("expected a state with at least one array, got one without leaves")


def _array(keys: Any, leaf: Any) -> Any:
    if isinstance(leaf, StackedArray):
        leaf = np.asarray(leaf)
    if not isinstance(leaf, jax.Array):
        if not isinstance(leaf, np.ndarray | np.generic | bool | int | float | complex):
            path = tuple(map(_key_text, keys)) or _ONLY_LEAF
            raise CheckpointError(
                f"expected arrays and numbers in a state, got {type(leaf).__name__} at "
                f"{name(path)}; leave it out of the state"
            )
        leaf = np.array(leaf, jax.dtypes.canonicalize_dtype(np.result_type(leaf)))
    return leaf if leaf.size else None
