"""Reads XLA's complaints during compilation: C++ logs them to file descriptor 2."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO, TypeVar

_Result = TypeVar("_Result")
_REMATERIALIZATION = re.compile(r"Involuntary full rematerialization\.(?P<detail>.*)")
_OVER_THE_LIMIT = re.compile(r"Can't reduce memory use below (?P<detail>.*)")

# Two captures at once would each take the other's file for the real standard error.
_CAPTURE = threading.RLock()


def with_captured_log(action: Callable[[], _Result]) -> tuple[_Result, str]:
    """Runs `action` and returns its result with what was written to file descriptor 2 meanwhile.

    The text is passed on to the real standard error afterwards, so nothing is lost to the user.
    File descriptors belong to the process: text of other threads is captured as well.
    """
    with _CAPTURE:
        try:
            saved = os.dup(2)
        except OSError:  # a daemon may have closed it
            return action(), ""
        try:
            return _captured(action, saved)
        finally:
            os.close(saved)


def _captured(action: Callable[[], _Result], saved: int) -> tuple[_Result, str]:
    _flush()
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            result = action()
        finally:
            _flush()
            os.dup2(saved, 2)
            log.seek(0)
            text = log.read()
            with suppress(OSError):  # whoever read standard error may be gone
                os.write(saved, text)
    return result, text.decode(errors="replace")


def _flush() -> None:
    stderr: TextIO | None = sys.stderr  # None where there is no console
    if stderr is not None:
        with suppress(OSError):
            stderr.flush()


def rematerializations(log: str) -> list[str]:
    """The resharding steps that XLA could solve only by replicating a tensor."""
    return [match["detail"].strip() for match in _REMATERIALIZATION.finditer(log)]


def warnings_in(log: str) -> list[str]:
    """What XLA warned of that says something of the program, each once."""
    found = [
        *(f"replicated a tensor to reshard it: {each}" for each in rematerializations(log)),
        *(
            f"cannot use less memory than {match['detail'].strip()}"
            for match in _OVER_THE_LIMIT.finditer(log)
        ),
    ]
    return list(dict.fromkeys(found))
