"""The transfer server of this process, and its connections to those of others.

`jax.experimental.transfer` moves single-device arrays between processes: the sender offers arrays
under a number, the receiver pulls them by it. Neither waits: an offer keeps its arrays until they
are pulled, a pull is an array that will be there. So no order of sends and receives can hang, and
processes that have no part in a transfer do nothing. A peer that dies makes what is pulled from it
an error, not a wait.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import jax

from alpa_mlir.compat import coordinator_address
from alpa_mlir.errors import ProcessError
from alpa_mlir.processes.activity import own_activity
from alpa_mlir.processes.group import ProcessGroup

ADDRESS_VARIABLE = "ALPA_TRANSFER_ADDRESS"


class TransferServers:
    """Sends to other processes and receives from them.

    The nth send from one process to another belongs to the nth receive there: every process walks
    the same instructions in the same order, and leaves out those it has no part in.
    """

    def __init__(self, group: ProcessGroup) -> None:
        # Not where there is one process: an import is not to load what JAX may not have.
        from jax.experimental.transfer import start_transfer_server

        self._group = group
        host = _own_host()
        try:
            self._server = start_transfer_server(
                jax.local_devices()[0].client, f"{host}:0", [f"{host}:0"]
            )
        except jax.errors.JaxRuntimeError as error:
            raise ProcessError(
                f"cannot listen on {host} for transfers from other processes: {error}; name "
                f"another address of this host in {ADDRESS_VARIABLE}"
            ) from error
        group.tell("transfer server", self._server.address())
        self._activity = own_activity()
        self._connections: dict[int, Any] = {}
        self._counts: Counter[tuple[int, int]] = Counter()

    def send(self, receiver: int, arrays: Sequence[Any]) -> None:
        """Offers arrays, each on one device. They must not be donated before they are pulled."""
        self._server.await_pull(self._number(self._group.index, receiver), list(arrays))

    def receive(self, sender: int, structs: Sequence[Any]) -> list[Any]:
        """What the process sends, of these types, on the devices of their shardings."""
        if sender not in self._connections:
            address = self._group.hear("transfer server", sender)
            self._connections[sender] = self._server.connect(address)
        number = self._number(sender, self._group.index)
        arrays = self._connections[sender].pull(number, list(structs))
        self._activity.await_arrays(sender, arrays)
        return arrays

    def _number(self, sender: int, receiver: int) -> int:
        """Of the next transfer, one of a kind in the sender's server."""
        self._counts[sender, receiver] += 1
        return self._counts[sender, receiver] * self._group.count + receiver


def _own_host() -> str:
    """As told, or the address by which this host reaches the coordinator: loopback, if that is."""
    if told := os.environ.get(ADDRESS_VARIABLE):
        return told
    host, _, port = (coordinator_address() or "127.0.0.1:1").rpartition(":")
    try:
        family, kind, *_, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # of datagrams: nothing is sent
            own = str(probe.getsockname()[0])
    except OSError as error:
        raise ProcessError(
            f"cannot tell by which address of this host others reach it: {error}; name one in "
            f"{ADDRESS_VARIABLE}"
        ) from error
    return f"[{own}]" if ":" in own else own


@cache
def servers_of(group: ProcessGroup) -> TransferServers:
    """One server for each process, which starts when it is asked for first."""
    return TransferServers(group)
