"""What the processes of a job tell one another, through the key-value store of `jax.distributed`.

Values are text and read as data. They are small and few: addresses, hashes, plans. Every process
runs the same script, so that the nth agreement of one is the nth of all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NoReturn

import jax

from alpa_mlir.compat import distributed_client
from alpa_mlir.errors import AlpaError, ProcessError

_PREFIX = "alpa"
# Below what one message of the store may have.
_PART = 1 << 20
# How long a wait lasts before it looks whether somebody has failed.
_SLICE_SECONDS = 2.0
_PATIENCE_SECONDS = 24 * 3600.0


class ProcessGroup:
    """All processes of the job, seen from one of them.

    Attributes:
      index: the number of this process. count: of all processes.
    """

    def __init__(self, client: Any, index: int, count: int) -> None:
        self.index = index
        self.count = count
        self._client = client
        self._num_agreements = 0

    @property
    def others(self) -> list[int]:
        return [process for process in range(self.count) if process != self.index]

    def tell(self, topic: str, text: str) -> None:
        """Says something once and for all; the topic has to be new."""
        parts = [text[i : i + _PART] for i in range(0, len(text), _PART)]
        key = f"{_PREFIX}/{topic}/{self.index}"
        for number, part in enumerate(parts):
            self._client.key_value_set(f"{key}/{number}", part)
        self._client.key_value_set(f"{key}/parts", str(len(parts)))

    def hear(self, topic: str, process: int, patience_seconds: float = _PATIENCE_SECONDS) -> str:
        """What a process says of the topic; waits for it.

        Raises:
          ProcessError: it has not said it in time, or some process has failed.
        """
        key = f"{_PREFIX}/{topic}/{process}"
        deadline = time.monotonic() + patience_seconds
        num_parts = int(self._wait(f"{key}/parts", deadline, f"process {process} to say '{topic}'"))
        return "".join(
            self._wait(f"{key}/{number}", deadline, f"'{topic}' of process {process}")
            for number in range(num_parts)
        )

    def _wait(self, key: str, deadline: float, what: str) -> str:
        while True:
            try:
                return str(self._client.blocking_key_value_get(key, int(_SLICE_SECONDS * 1e3)))
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise ProcessError(
                        f"process {self.index} lost the coordinator: {error}; look at the output "
                        "of process 0"
                    ) from error
            self.check_failures()
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"process {self.index} waited for {what} in vain; every process has to run the "
                    "same script, which makes the same calls in the same order"
                )

    # --- Failures ---

    def tell_failure(self, text: str) -> None:
        """Says that this process ends because of an error, to those who wait for it."""
        self._client.key_value_set(f"{_PREFIX}/failed/{self.index}", text, allow_overwrite=True)

    def tell_end(self, why: str) -> None:
        """Says that all processes have to end."""
        self._client.key_value_set(f"{_PREFIX}/failed/all", why, allow_overwrite=True)

    def check_failures(self) -> None:
        """Raises ProcessError where another process has said that it ends, or all have to."""
        for key, text in self._client.key_value_dir_get(f"{_PREFIX}/failed"):
            process = key.rsplit("/", 1)[-1]
            if process == "all":
                raise ProcessError(text)
            if process != str(self.index):
                raise ProcessError(f"process {process} has failed: {text}")

    def tell_heartbeat(self, text: str) -> None:
        """Takes the place of the last one."""
        key = f"{_PREFIX}/heartbeat/{self.index}"
        self._client.key_value_set(key, text, allow_overwrite=True)

    def heartbeats(self) -> dict[int, str]:
        """The last of every process that has told one."""
        found = self._client.key_value_dir_get(f"{_PREFIX}/heartbeat")
        return {int(key.rsplit("/", 1)[-1]): text for key, text in found}

    # --- Agreements ---

    def gather(self, subject: str, text: str) -> list[str]:
        """What each process says of the subject, in the order of the processes.

        Every process has to come, in the same order of agreements.
        """
        topic = f"agreement {self._num_agreements} {subject}"
        self._num_agreements += 1
        self.tell(topic, text)
        return [self.hear(topic, process) for process in range(self.count)]

    def agree(self, subject: str, own: Mapping[str, str], decide: Callable[[], str]) -> str:
        """What process 0 decides, once all have shown that they ask for the same.

        Every process has to come, in the same order of agreements.

        Args:
          subject: what it is about, for people.
          own: what has to be the same in every process, by name.
          decide: called in process 0 alone. What it raises is raised in every process, as an
            AlpaError of the same class.

        Raises:
          ProcessError: processes are unlike in `own`; every process raises it.
        """
        topic = f"agreement {self._num_agreements}"
        self._num_agreements += 1
        self.tell(f"{topic} asked", json.dumps({"subject": subject, **own}))
        if self.index:
            return _read_verdict(self.hear(f"{topic} decided", 0))
        try:
            self._check_alike(topic)
            text = decide()
        except Exception as error:
            name = type(error).__name__ if isinstance(error, AlpaError) else AlpaError.__name__
            self.tell(f"{topic} decided", json.dumps({"error": name, "text": str(error)}))
            raise
        self.tell(f"{topic} decided", json.dumps({"decision": text}))
        return text

    def _check_alike(self, topic: str) -> None:
        asked = [json.loads(self.hear(f"{topic} asked", p)) for p in range(self.count)]
        for process, other in enumerate(asked):
            for name, value in asked[0].items():
                if other.get(name) != value:
                    raise ProcessError(
                        f"expected the same {name} in every process, got {value} in process 0 and "
                        f"{other.get(name)} in process {process}; run the same script with the "
                        "same packages everywhere"
                    )


def _read_verdict(text: str) -> str:
    verdict = json.loads(text)
    if "error" in verdict:
        _raise_again(str(verdict["error"]), str(verdict["text"]))
    return str(verdict["decision"])


def _raise_again(name: str, text: str) -> NoReturn:
    """What process 0 has raised."""
    raise _errors().get(name, AlpaError)(text)


def _errors() -> dict[str, type[AlpaError]]:
    """All of ours, by name."""
    found: list[type[AlpaError]] = [AlpaError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__: kind for kind in found}


def process_group() -> ProcessGroup | None:
    """None in a process of its own.

    Raises:
      ProcessError: JAX has several processes, but nothing by which they tell one another.
    """
    if jax.process_count() == 1:
        return None
    client = distributed_client()
    if client is None:
        raise ProcessError(
            f"expected the {jax.process_count()} processes of JAX to be those of "
            "jax.distributed; call alpa_mlir.initialize() first"
        )
    return _group_of(client)


@cache
def _group_of(client: Any) -> ProcessGroup:
    """One for each job, so that agreements are counted."""
    return ProcessGroup(client, jax.process_index(), jax.process_count())
