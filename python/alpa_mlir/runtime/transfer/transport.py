"""Transports: by what arrays go from one mesh to another. The one that is there is chosen.

A transport compiles a transfer to a function of the arrays on the sender's mesh that returns those
on the receiver's, and that waits for nothing. docs/decisions/2026-11-27-many-processes.md says what
was measured of those there are, and why none of them can hang.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from jax.sharding import NamedSharding

from alpa_mlir.processes.group import ProcessGroup, process_group
from alpa_mlir.program.placement import devices_of
from alpa_mlir.runtime.transfer.between_processes import compile_process_transfer
from alpa_mlir.runtime.transfer.reshard import Arrays
from alpa_mlir.runtime.transfer.servers import servers_of
from alpa_mlir.runtime.transfer.transfer import compile_transfer


class Move(Protocol):
    """A compiled transfer; `bytes` is what all devices receive from other devices."""

    @property
    def bytes(self) -> int: ...

    def __call__(self, arrays: Arrays) -> Arrays: ...


@dataclass(frozen=True)
class Lot:
    """Arrays that go together from one mesh to another.

    Attributes:
      avals: their shapes and dtypes. sources, targets: how they lie on the sender's mesh, and are
        to lie on the receiver's.
      are_copied: of each array, whether it may be donated while it is on its way.
    """

    avals: Sequence[Any]
    sources: Sequence[NamedSharding]
    targets: Sequence[NamedSharding]
    are_copied: Sequence[bool]


class AbstractTransport(ABC):
    """Compiles transfers.

    Attributes:
      name: for people.
    """

    name: ClassVar[str]

    @abstractmethod
    def compile(self, lot: Lot) -> Move:
        """A transfer of arrays that lie so."""


class DevicePut(AbstractTransport):
    """`jax.device_put` between the devices of one process, which takes its own copy at once."""

    name = "device_put"

    def compile(self, lot: Lot) -> Move:
        return compile_transfer(lot.avals, lot.sources, lot.targets)


class TransferServer(AbstractTransport):
    """Pieces offered and pulled by `jax.experimental.transfer`; within a process, `device_put`."""

    name = "transfer servers"

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._servers = servers_of(group)

    def compile(self, lot: Lot) -> Move:
        devices = [d for end in (*lot.sources, *lot.targets) for d in devices_of(end)]
        if {device.process_index for device in devices} == {self._group.index}:
            return compile_transfer(lot.avals, lot.sources, lot.targets)
        return compile_process_transfer(
            lot.avals,
            lot.sources,
            lot.targets,
            lot.are_copied,
            self._servers,
            self._group.index,
        )


def find_transport() -> AbstractTransport:
    """For the processes there are."""
    group = process_group()
    return DevicePut() if group is None else TransferServer(group)
