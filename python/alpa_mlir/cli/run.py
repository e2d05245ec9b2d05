"""`alpa-run`: starts the processes of a job on this machine, for development and tests.

Each gets its number and the coordinator's address in its environment, where `alpa.initialize()`
finds them. What they print comes with their numbers before it; when one fails, all end, and they do
not outlive us, however we end (`initialize` asks the kernel for that).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any

import click

from alpa_mlir.cli.command import OneLineCommand
from alpa_mlir.errors import ProcessError
from alpa_mlir.processes.initialize import (
    COORDINATOR_VARIABLE,
    COUNT_VARIABLE,
    INDEX_VARIABLE,
    LAUNCHER_VARIABLE,
    NUM_CPU_THREADS,
)
from alpa_mlir.processes.watchdog import ENDED_BY_ANOTHER

_LOOPBACK = "127.0.0.1"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How long processes have to say why they end, and then to end.
_GRACE_SECONDS = 5.0


@click.command(cls=OneLineCommand, context_settings={"ignore_unknown_options": True})
@click.option("--processes", type=click.IntRange(1, 1024), required=True, help="How many.")
@click.option(
    "--devices-per-process",
    type=click.IntRange(1, 1024),
    help="Virtual CPU devices of each. Default: what devices JAX finds.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The coordinator's. Default: a free one."
)
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(
    processes: int,
    devices_per_process: int | None,
    port: int | None,
    script: str,
    arguments: tuple[str, ...],
) -> int:
    """Runs a Python SCRIPT in several processes on this machine.

    The script calls alpa_mlir.initialize() before it uses JAX. The exit code is 0 if it is that of
    all processes, else that of the first one that failed.
    """
    address = f"{_LOOPBACK}:{_port(port)}"
    job = _Job([sys.executable, script, *arguments])
    previous = {number: signal.signal(number, job.pass_on) for number in _PASSED_ON}
    try:
        for index in range(processes):
            job.start(_environment(index, processes, address, devices_per_process))
        return job.wait()
    finally:
        job.end()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _port(asked: int | None) -> int:
    """Raises ProcessError where the port asked for is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, asked or 0))
        except OSError as error:
            raise ProcessError(
                f"cannot use port {asked} for the coordinator: {error.strerror}; leave --port out "
                "to have a free one chosen"
            ) from error
        return int(probe.getsockname()[1])


def _environment(index: int, count: int, address: str, num_devices: int | None) -> dict[str, str]:
    environment = {
        **os.environ,
        COORDINATOR_VARIABLE: address,
        COUNT_VARIABLE: str(count),
        INDEX_VARIABLE: str(index),
        LAUNCHER_VARIABLE: str(os.getpid()),
        "PYTHONUNBUFFERED": "1",
    }
    environment.setdefault("NPROC", NUM_CPU_THREADS)
    if num_devices is not None:
        flag = f"--xla_force_host_platform_device_count={num_devices}"
        environment["JAX_PLATFORMS"] = "cpu"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {flag}".strip()
    return environment


@dataclass
class _Process:
    """One process of the job, and the threads that print what it says."""

    popen: subprocess.Popen[bytes]
    printers: list[threading.Thread]


class _Job:
    """The processes, and what ends them."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._processes: list[_Process] = []
        self._lock = threading.Lock()
        self._signal: int | None = None

    def start(self, environment: dict[str, str]) -> None:
        # A session of its own: a terminal's Ctrl-C reaches it through us alone, once.
        popen = subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        index = len(self._processes)
        pairs = [(popen.stdout, sys.stdout), (popen.stderr, sys.stderr)]
        printers = [
            threading.Thread(target=self._print, args=(index, *pair), daemon=True) for pair in pairs
        ]
        for printer in printers:
            printer.start()
        self._processes.append(_Process(popen, printers))

    def _print(self, index: int, source: IO[bytes], target: Any) -> None:
        with source:
            for line in source:
                text = line.decode(errors="replace").rstrip("\n")
                with self._lock:
                    print(f"[{index}] {text}", file=target, flush=True)

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """To all processes; the second time, they are killed."""
        sent = signal.SIGKILL if self._signal else number
        self._signal = number
        self._send(sent)

    def _send(self, number: int) -> None:
        for process in self._processes:
            if process.popen.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.popen.pid, number)

    def wait(self) -> int:
        """The exit code, once all have ended; names the first that fails."""
        while True:
            codes = [process.popen.poll() for process in self._processes]
            failed = [i for i, code in enumerate(codes) if code]
            if failed:
                break
            if None not in codes:
                return 128 + self._signal if self._signal else 0
            time.sleep(0.05)
        self._wait_for_all(_GRACE_SECONDS)
        codes = [process.popen.poll() for process in self._processes]
        self.end()
        if self._signal:
            return 128 + self._signal
        first, code = _cause(failed, codes)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        click.echo(f"error: process {first} {how}; all processes have ended", err=True)
        return 128 - code if code < 0 else code

    def _wait_for_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(process.popen.poll() is not None for process in self._processes):
                return
            time.sleep(0.05)

    def end(self) -> None:
        """Ends those that still run, and prints what they have said."""
        if any(process.popen.poll() is None for process in self._processes):
            self._send(signal.SIGTERM)
            self._wait_for_all(_GRACE_SECONDS)
            self._send(signal.SIGKILL)  # JAX takes SIGTERM for a notice of preemption
        for process in self._processes:
            process.popen.wait()
            for printer in process.printers:
                printer.join(_GRACE_SECONDS)


def _cause(failed: Sequence[int], codes: Sequence[int | None]) -> tuple[int, int]:
    """The process that failed first, but for those that ended because another one did; its code."""
    ended = [(process, code) for process, code in enumerate(codes) if code]
    own = [(process, code) for process, code in ended if code != ENDED_BY_ANOTHER] or ended
    return next((each for each in own if each[0] in failed), own[0])


if __name__ == "__main__":
    main()
