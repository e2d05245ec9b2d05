"""`alpa.initialize()`: joins the processes of a job. Thin checks around `jax.distributed`."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from types import TracebackType

import jax

from alpa_mlir.compat import coordinator_address
from alpa_mlir.errors import ProcessError
from alpa_mlir.processes.activity import own_activity
from alpa_mlir.processes.group import ProcessGroup, process_group
from alpa_mlir.processes.watchdog import BEAT_SECONDS, Watchdog, leave

# What `alpa-run` sets, beside JAX_COORDINATOR_ADDRESS, which JAX reads.
COORDINATOR_VARIABLE = "JAX_COORDINATOR_ADDRESS"
COUNT_VARIABLE = "ALPA_NUM_PROCESSES"
INDEX_VARIABLE = "ALPA_PROCESS_ID"
LAUNCHER_VARIABLE = "ALPA_LAUNCHER_PID"
# XLA's CPU client sizes its thread pools by NPROC; with a few cores, programs full of collectives
# wait for one another for ever.
NUM_CPU_THREADS = "32"
# Ours come first: they say who is dead and who waited for whom, where JAX aborts. It sends two
# heartbeats in its time: half of that may be over when a process dies.
_JAX_WAITS_LONGER_SECONDS = 8
_JAX_HEARTBEATS = 2
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of sys/prctl.h


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    patience_seconds: float = 60.0,
    heartbeat_seconds: int = 20,
    hang_seconds: float | None = 600.0,
) -> None:
    """Joins the processes of this job; to be called before JAX is used.

    Under `alpa-run`, Slurm and Open MPI all arguments are found. Where nothing says that there are
    several processes, this one works alone, so that a script runs everywhere.

    From then on, an error that ends one process ends all of them, each with a line that names it.

    Args:
      coordinator_address: host and port where process 0 listens, such as "10.0.0.1:1234".
      num_processes, process_id: how many there are, and which of them this is.
      patience_seconds: how long processes wait for one another to come.
      heartbeat_seconds: of silence, after which a process counts as dead and the others end.
      hang_seconds: without any progress of any process in a step, after which all processes end
        and tell who waits for whom; None is never. Longer than one task of a step takes, and than
        a process may leave others waiting, for instance while it alone evaluates or saves.

    Raises:
      ProcessError: the address is in use, the coordinator cannot be reached, the arguments do not
        fit one another, or JAX has been used before.
    """
    _die_with_launcher()
    os.environ.setdefault("NPROC", NUM_CPU_THREADS)
    given = _settings(coordinator_address, num_processes, process_id)
    if given is None:
        if not _join_found(patience_seconds, heartbeat_seconds):
            return
    else:
        address, count, index = given
        if count == 1:
            return
        host, port = _host_and_port(address)
        if index == 0:
            _check_is_free(host, port)
        else:
            _wait_for_coordinator(host, port, patience_seconds, index)
        _join(
            patience_seconds,
            heartbeat_seconds,
            coordinator_address=address,
            num_processes=count,
            process_id=index,
            # JAX would listen on all addresses of the host.
            coordinator_bind_address=address,
            cluster_detection_method="deactivate",
        )
    if group := process_group():
        _end_together(group, heartbeat_seconds, hang_seconds)


def _die_with_launcher() -> None:
    """Where the kernel can (Linux): a launcher that is killed cannot end its processes."""
    launcher = _number(None, LAUNCHER_VARIABLE)
    if launcher is None or os.getppid() != launcher:  # a process that one of them has started
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def _settings(
    address: str | None, num_processes: int | None, process_id: int | None
) -> tuple[str, int, int] | None:
    """What was given, or `alpa-run` has set; None where neither says anything."""
    address = address or os.environ.get(COORDINATOR_VARIABLE)
    count = _number(num_processes, COUNT_VARIABLE)
    index = _number(process_id, INDEX_VARIABLE)
    if count is None and index is None:
        return None
    if address is None or count is None or index is None or not 0 <= index < count:
        raise ProcessError(
            f"expected coordinator_address, num_processes and a process_id below that, got "
            f"{address}, {count} and {index}; pass all three, or start the script with alpa-run"
        )
    return address, count, index


def _number(given: int | None, variable: str) -> int | None:
    text = os.environ.get(variable)
    if given is not None or text is None:
        return given
    if not text.isdecimal():
        raise ProcessError(f"expected a number in {variable}, got {text!r}; unset it")
    return int(text)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ProcessError(
            f"expected the address of the coordinator as host:port, got {address!r}; such as "
            "10.0.0.1:1234"
        )
    return host.strip("[]"), int(port)


def _check_is_free(host: str, port: int) -> None:
    """JAX would wait for the others before it says so."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ProcessError(
            f"process 0 cannot listen on {host}:{port}: {error.strerror}; choose another address "
            "for the coordinator"
        ) from error


def _wait_for_coordinator(host: str, port: int, patience_seconds: float, index: int) -> None:
    """JAX would end the process where it cannot reach it."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=patience_seconds):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"process {index} cannot reach the coordinator at {host}:{port} within "
                    f"{patience_seconds:g} s: {error.strerror or error}; is process 0 running, and "
                    "is that its address?"
                ) from error
        time.sleep(0.1)


def _join_found(patience_seconds: float, heartbeat_seconds: int) -> bool:
    """Under launchers that JAX knows; False where there is none."""
    try:
        _join(patience_seconds, heartbeat_seconds)
    except ValueError as error:  # of JAX: "coordinator_address should be defined"
        if "should be defined" in str(error) or "must be defined" in str(error):
            return False
        raise ProcessError(f"cannot join the job: {error}") from error
    return True


def _join(patience_seconds: float, heartbeat_seconds: int, **arguments: str | int) -> None:
    try:
        jax.distributed.initialize(  # type: ignore[reportArgumentType]
            **arguments,  # pyright: ignore[reportArgumentType]
            initialization_timeout=max(1, round(patience_seconds)),
            heartbeat_timeout_seconds=_JAX_HEARTBEATS
            * (heartbeat_seconds + _JAX_WAITS_LONGER_SECONDS),
        )
    except RuntimeError as error:
        raise ProcessError(
            f"cannot join the job: {error}; call alpa_mlir.initialize() once, before anything that "
            "uses JAX"
        ) from error


# --- Ending together ---


def _end_together(
    group: ProcessGroup, heartbeat_seconds: float, hang_seconds: float | None
) -> None:
    """An error here is told to the others; theirs ends this process, also while it waits in XLA."""
    previous = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        previous(kind, error, trace)
        if _is_of_lost_connection(error):  # the watchdog will say whose, and end this process
            time.sleep(heartbeat_seconds + 5 * BEAT_SECONDS)
        if isinstance(error, Exception):
            _end_because(group, f"{kind.__name__}: {error}")

    sys.excepthook = tell
    address = coordinator_address()
    coordinator = _host_and_port(address) if address else None
    Watchdog(group, own_activity(), heartbeat_seconds, hang_seconds, coordinator).start()


def _is_of_lost_connection(error: BaseException) -> bool:
    """As XLA tells, which does not say which process was there."""
    words = ("recv", "send", "socket", "connection", "not connected", "unavailable")
    text = str(error).lower()
    return isinstance(error, jax.errors.JaxRuntimeError) and any(word in text for word in words)


def _end_because(group: ProcessGroup, text: str) -> None:
    """Leaves at once: JAX's way out waits for the other processes."""
    lines = [line for line in text.splitlines() if line.strip()]
    with suppress(jax.errors.JaxRuntimeError):  # the coordinator is gone: all end by themselves
        group.tell_failure(lines[0] if lines else "an error")
    if group.index == 0:  # the coordinator ends with this process: let others hear
        time.sleep(3 * BEAT_SECONDS)
    leave(1)
