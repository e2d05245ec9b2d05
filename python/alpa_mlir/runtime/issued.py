"""Instructions as they are issued: callables that know their slots in the store of arrays.

JAX dispatches each without waiting for it, so one Python thread drives all meshes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alpa_mlir.runtime.transfer.reshard import Reshard
from alpa_mlir.runtime.transfer.transport import Move
from alpa_mlir.schedule.instructions import Instruction

Store = list[Any]
Slots = tuple[int, ...]
Issue = Callable[[Store], None]


@dataclass(frozen=True, eq=False)
class IssuedInstruction:
    """An instruction of a mesh and what issues it."""

    mesh: int
    instruction: Instruction
    issue: Issue


def _read(store: Store, slots: Slots, reduction: Reshard | None) -> list[Any]:
    arrays = [store[slot] for slot in slots]
    if reduction:
        arrays = reduction(arrays)
        for position in reduction.positions:
            store[slots[position]] = arrays[position]
    return arrays


@dataclass(frozen=True, eq=False, slots=True)
class IssuedRun:
    """Runs an executable; `convert` reshards inputs that lie otherwise than it reads them, behind
    `reduction`, which replaces sums in parts."""

    execute: Callable[..., Any]
    reads: Slots
    writes: Slots
    reduction: Reshard | None = None
    convert: Reshard | None = None

    def __call__(self, store: Store) -> None:
        for slot, array in zip(self.writes, self.execute(*self.read(store)), strict=True):
            store[slot] = array

    def read(self, store: Store) -> list[Any]:
        """What `execute` gets."""
        arrays = _read(store, self.reads, self.reduction)
        return self.convert(arrays) if self.convert else arrays


@dataclass(frozen=True, eq=False, slots=True)
class IssuedStartSums:
    """Makes sums with nothing in them."""

    execute: Callable[..., Any]
    sums: Slots

    def __call__(self, store: Store) -> None:
        for slot, array in zip(self.sums, self.execute(), strict=True):
            store[slot] = array


@dataclass(frozen=True, eq=False, slots=True)
class IssuedTransfer:
    """Sends arrays to another mesh; `reduction` replaces sums in parts before.

    A process without devices on that mesh has nowhere to write them.
    """

    transfer: Move
    reads: Slots
    writes: Slots
    reduction: Reshard | None = None

    def __call__(self, store: Store) -> None:
        arrays = self.transfer(_read(store, self.reads, self.reduction))
        for slot, array in zip(self.writes, arrays, strict=True):
            store[slot] = array


@dataclass(frozen=True, eq=False, slots=True)
class IssuedFree:
    """Drops references; XLA frees the memory when what was issued before has read it."""

    reads: Slots

    def __call__(self, store: Store) -> None:
        for slot in self.reads:
            store[slot] = None


@dataclass(frozen=True, eq=False, slots=True)
class IssuedJoin:
    """Joins the examples of microbatches."""

    join: Callable[..., Any]
    reads: Slots
    write: int

    def __call__(self, store: Store) -> None:
        store[self.write] = self.join(*[store[slot] for slot in self.reads])
