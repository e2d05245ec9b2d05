"""A thread in every process that tells the others it lives, and process 0's that listens to all.

Heartbeats go through the key-value store of `jax.distributed`, each with what its process waits
for. Process 0 finds who is silent, and steps in which nothing goes on; it says so in the store, and
all processes end, with the wait graph. A native call that waits cannot be unwound: they leave by
`os._exit`. JAX's own heartbeats stand behind ours: they end processes when process 0 is the one
that is silent, and a handler of the signal by which JAX does that says who it was.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import jax

from alpa_mlir.errors import ProcessError
from alpa_mlir.processes.activity import Activity
from alpa_mlir.processes.group import ProcessGroup
from alpa_mlir.processes.wait_graph import Heard, Observation, describe, observation_from_json

BEAT_SECONDS = 1.0
# Of a process that ends because another one has failed (EX_TEMPFAIL of sysexits.h).
ENDED_BY_ANOTHER = 75
_PROBE_SECONDS = 0.5
_LAST_SECONDS = 5.0
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


@dataclass(frozen=True)
class Verdict:
    """Why all processes have to end.

    Attributes:
      graph: who waits for whom, as lines.
    """

    reason: str
    graph: str


class Listener:
    """What process 0 knows of all processes, by its own clock.

    Attributes:
      hang_seconds: without progress in a step, after which it hangs; None is never.
      heartbeat_seconds: of silence, after which a process is dead.
    """

    def __init__(self, count: int, heartbeat_seconds: float, hang_seconds: float | None) -> None:
        self.hang_seconds = hang_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self._count = count
        self._beats: dict[int, int] = {}
        self._heard_at: dict[int, float] = {}
        self._observations: dict[int, Observation] = {}
        self._progress_at: float | None = None
        self._listened_at: float | None = None

    def listen(self, now: float, texts: dict[int, str]) -> None:
        """Takes the latest of every process that has said something."""
        if not self._heard_at:  # one that dies before it has said anything is silent from here on
            self._heard_at = dict.fromkeys(range(self._count), now)
        was_away = self._listened_at is not None and now - self._listened_at > 5 * BEAT_SECONDS
        if was_away:  # then the silence may be its own: this thread did not run
            self._heard_at = dict.fromkeys(self._heard_at, now)
            self._progress_at = now
        self._listened_at = now
        for process, text in texts.items():
            beat, observation = observation_from_json(text)
            if beat != self._beats.get(process):
                self._heard_at[process] = now
            before = self._observations.get(process)
            if before is None or before.progress != observation.progress:
                self._progress_at = now
            self._beats[process] = beat
            self._observations[process] = observation

    def verdict(self, now: float) -> Verdict | None:
        """Why all processes have to end; None while they need not."""
        heard = {
            process: Heard(now - at, self._observations.get(process))
            for process, at in self._heard_at.items()
        }
        for process, each in sorted(heard.items()):
            if each.silent_seconds > self.heartbeat_seconds:
                reason = (
                    f"process {process} has been silent for {each.silent_seconds:.0f} s and counts "
                    "as dead; look at its output"
                )
                return Verdict(reason, describe(heard))
        is_in_step = any(each.is_in_step for each in self._observations.values())
        if self.hang_seconds is None or not is_in_step or self._progress_at is None:
            return None
        if (seconds := now - self._progress_at) <= self.hang_seconds:
            return None
        step = max(each.step for each in self._observations.values() if each.is_in_step)
        reason = (
            f"step {step} has made no progress for {seconds:.0f} s; where this is no hang, give "
            "alpa_mlir.initialize() more hang_seconds"
        )
        return Verdict(reason, describe(heard))


class Watchdog:
    """The thread of one process."""

    def __init__(
        self,
        group: ProcessGroup,
        activity: Activity,
        heartbeat_seconds: float,
        hang_seconds: float | None,
        coordinator: tuple[str, int] | None,
    ) -> None:
        self._group = group
        self._activity = activity
        self._coordinator = coordinator
        self._listener = Listener(group.count, heartbeat_seconds, hang_seconds)
        self._answered_at = time.monotonic()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alpa watchdog", daemon=True)
        # C keeps a pointer to it.
        self._abort_handler = _Handler(lambda _number: self._say_who_is_lost())

    def start(self) -> None:
        if self._group.index:
            self._handle_abort()
        self._thread.start()
        atexit.register(self._end_with_interpreter)

    def _end_with_interpreter(self) -> None:
        """Beats until all processes have come to their end, then no more: a thread that is in a
        native call when the interpreter goes takes the process with it ("exception not rethrown").
        """
        with suppress(jax.errors.JaxRuntimeError):  # some have gone already
            jax.distributed.shutdown()
        self._is_over.set()
        self._thread.join(_LAST_SECONDS)

    def _handle_abort(self) -> None:
        """Where C has signals: handlers of Python's do not run when a native thread aborts."""
        with suppress(OSError, AttributeError):
            install = ctypes.CDLL(None).signal
            install.argtypes, install.restype = [ctypes.c_int, _Handler], ctypes.c_void_p
            install(signal.SIGABRT, self._abort_handler)

    def _watch(self) -> None:
        beat = 0
        while not self._is_over.wait(BEAT_SECONDS):
            beat += 1
            try:
                self._beat(beat)
                self._answered_at = time.monotonic()
            except ProcessError as error:
                time.sleep(BEAT_SECONDS)  # this process may be about to say the same
                self._end(str(error))
            except jax.errors.JaxRuntimeError:  # the coordinator is gone
                return

    def _beat(self, beat: int) -> None:
        self._group.tell_heartbeat(self._activity.observe().to_json(beat))
        if self._group.index == 0:
            now = time.monotonic()
            self._listener.listen(now, self._group.heartbeats())
            if verdict := self._listener.verdict(now):
                self._group.tell_end(f"{verdict.reason}; process 0 tells who waited for whom")
                print(f"who waits for whom:\n{verdict.graph}", file=sys.stderr, flush=True)
                time.sleep(3 * BEAT_SECONDS)  # the coordinator ends with this process
                self._end(verdict.reason)
        self._group.check_failures()

    def _end(self, why: str) -> NoReturn:
        print(f"process {self._group.index} ends: {why}", file=sys.stderr)
        leave(ENDED_BY_ANOTHER)

    def _say_who_is_lost(self) -> None:
        """Before JAX ends this process, which it does when the coordinator is lost."""
        silent = time.monotonic() - self._answered_at
        if silent < 3 * BEAT_SECONDS and (self._coordinator is None or self._is_answered()):
            return
        text = (
            f"process {self._group.index} ends: process 0, where the coordinator of the job is, "
            f"has ended or been silent, since at most {silent:.0f} s; this process "
            f"{self._activity.observe().doing}\n"
        )
        os.write(2, text.encode())

    def _is_answered(self) -> bool:
        with suppress(OSError):
            address = self._coordinator or ("", 0)
            socket.create_connection(address, timeout=_PROBE_SECONDS).close()
            return True
        return False


def leave(code: int) -> NoReturn:
    """At once: JAX's way out waits for the other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
