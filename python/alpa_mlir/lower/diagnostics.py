"""Reads XLA's complaints during compilation: C++ logs them to file descriptor 2."""

import os
import re
import sys
import tempfile
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")
_REMATERIALIZATION = re.compile(r"Involuntary full rematerialization\.(?P<detail>.*)")


def with_captured_log(action: Callable[[], _Result]) -> tuple[_Result, str]:
    """Runs `action` and returns its result with what was written to file descriptor 2 meanwhile.

    The text is passed on to the real standard error afterwards, so nothing is lost to the user.
    File descriptors belong to the process: text of other threads is captured as well.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            result = action()
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            log.seek(0)
            text = log.read()
            if text:
                os.write(saved, text)
            os.close(saved)
    return result, text.decode(errors="replace")


def rematerializations(log: str) -> list[str]:
    """The resharding steps that XLA could solve only by replicating a tensor."""
    return [match["detail"].strip() for match in _REMATERIALIZATION.finditer(log)]
