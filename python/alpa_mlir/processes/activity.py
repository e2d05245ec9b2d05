"""What this process is doing, kept for the thread that watches it (`watchdog.py`).

The thread that works only sets attributes and appends to a deque: no lock, no system call, no
dispatch. What it waits for is found by the thread that watches, where somebody asks.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import jax

from alpa_mlir.processes.wait_graph import Observation, Wait

# Of arrays that are on their way here: what may be kept of them until somebody looks, which is once
# a second.
_HELD_BYTES = 256 << 20
_MAX_WAITS = 4
# Parts of the names of files; frozen modules begin with "<".
_NOT_THE_USERS = ("site-packages", "/lib/python", "alpa_mlir/", "<frozen")


class AbstractStepView(Protocol):
    """What can be told of a step by the number of what is issued in it.

    Numbers below 0 are of its arguments, those past the last instruction of its results.
    """

    def place(self, position: int) -> str:
        """What is issued there, for people."""
        ...

    def reader(self, position: int) -> str:
        """What waits for what arrives there, for people."""
        ...

    def buffers(self, position: int) -> str:
        """What arrives there, for people."""
        ...

    def partners(self, position: int) -> Iterable[int]:
        """The processes that do it together."""
        ...


@dataclass(frozen=True, eq=False)
class _Pull:
    """An array on its way here."""

    step: int
    view: AbstractStepView | None
    position: int
    sender: int
    array: Any
    num_bytes: int


class Activity:
    """Of this process. Drivers call `begin`, set `position` and call `end`; transports call
    `await_arrays`."""

    def __init__(self) -> None:
        self.position = -1
        self._num_steps = 0
        self._is_issuing = False
        self._view: AbstractStepView | None = None
        self._result: weakref.ref[Any] | None = None
        self._pulls: deque[_Pull] = deque()
        self._pulled_bytes = 0  # only ever set by the thread that works
        self._seen_bytes = 0  # only ever set by the thread that watches
        self._num_arrived = 0

    # --- By the thread that works ---

    def begin(self, view: AbstractStepView) -> None:
        """A step begins."""
        self.position = -1
        self._view = view
        self._num_steps += 1
        self._is_issuing = True

    def end(self, results: Any) -> None:
        """All of the step is issued; what of the results is smallest shows when it has run."""
        here = [
            leaf
            for leaf in jax.tree.leaves(results)
            if isinstance(leaf, jax.Array) and leaf.sharding.addressable_devices
        ]
        self._result = weakref.ref(min(here, key=lambda leaf: leaf.size)) if here else None
        self._is_issuing = False

    def give_up(self) -> None:
        """The step ends by an exception; without one this does nothing."""
        self._is_issuing = False

    def await_arrays(self, sender: int, arrays: Sequence[Any]) -> None:
        """Arrays of another process are on their way."""
        array = min(arrays, key=lambda each: each.size, default=None)
        if array is None or self._pulled_bytes - self._seen_bytes + array.nbytes > _HELD_BYTES:
            return
        self._pulled_bytes += array.nbytes
        pull = _Pull(self._num_steps, self._view, self.position, sender, array, int(array.nbytes))
        self._pulls.append(pull)

    # --- By the thread that watches ---

    def observe(self) -> Observation:
        """What this process is at, and what it waits for."""
        self._drop_arrived()
        position, view, is_issuing = self.position, self._view, self._is_issuing
        is_running = not is_issuing and _is_unready(self._result)
        marks = (self._num_steps, position, is_issuing, self._num_arrived, is_running)
        waits = [*self._waits_for_arrays()]
        if view and not waits and (is_issuing or is_running):
            partners = sorted({*view.partners(position)} - {jax.process_index()})
            waits = [Wait(p, view.place(position), "") for p in partners]
        is_in_step = bool(is_issuing or is_running or waits)
        return Observation(
            progress=repr(marks),
            step=self._num_steps,
            is_in_step=is_in_step,
            doing=self._doing(view, position, is_issuing, is_in_step),
            waits=tuple(waits[:_MAX_WAITS]),
        )

    def _drop_arrived(self) -> None:
        for _ in range(len(self._pulls)):
            pull = self._pulls.popleft()
            if _is_on_its_way(pull.array):
                self._pulls.append(pull)  # behind those that come meanwhile: `step` has the order
            else:
                self._num_arrived += 1
                self._seen_bytes += pull.num_bytes

    def _waits_for_arrays(self) -> Iterable[Wait]:
        """The first from each sender."""
        first: dict[int, _Pull] = {}
        for pull in sorted(self._pulls.copy(), key=lambda each: (each.step, each.position)):
            first.setdefault(pull.sender, pull)
        for sender, pull in first.items():
            view = pull.view
            reader = view.reader(pull.position) if view else "what it was given"
            yield Wait(sender, reader, view.buffers(pull.position) if view else "arrays")

    def _doing(
        self, view: AbstractStepView | None, position: int, is_issuing: bool, is_in_step: bool
    ) -> str:
        if view and is_issuing:
            return f"issues '{view.place(position)}' of step {self._num_steps}"
        if is_in_step:
            return f"has issued all of step {self._num_steps}"
        after = f", after {self._num_steps} of them" if self._num_steps else ""
        return f"is outside of a step{after}, at {_line_of_main_thread()}"


def _is_on_its_way(array: Any) -> bool:
    try:
        return not array.is_ready()
    except RuntimeError:  # of JAX: it was donated
        return False


def _is_unready(reference: weakref.ref[Any] | None) -> bool:
    array = reference() if reference else None
    return array is not None and _is_on_its_way(array)


def _line_of_main_thread() -> str:
    """Where the user's script is."""
    frame = sys._current_frames().get(  # pyright: ignore[reportPrivateUsage]
        threading.main_thread().ident or 0
    )
    own = frame
    while own and any(part in own.f_code.co_filename for part in _NOT_THE_USERS):
        own = own.f_back
    if (found := own or frame) is None:
        return "its end"
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"


@cache
def own_activity() -> Activity:
    """The one of this process."""
    return Activity()
