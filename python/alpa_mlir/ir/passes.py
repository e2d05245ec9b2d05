"""Runs passes; what they say becomes errors of ours."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from alpa_mlir._native import Diagnostic, Module
from alpa_mlir.errors import PassError


@contextmanager
def pass_errors() -> Generator[None]:
    """Gives the C++ side's diagnostics the class of error users catch."""
    try:
        yield
    except RuntimeError as error:
        raise PassError(str(error)) from None


def run_passes(module: Module, *passes: str) -> list[Diagnostic]:
    """Runs the passes on `module`; returns remarks and warnings.

    Raises:
      PassError: a pass refused the module; the text is its diagnostics.
    """
    with pass_errors():
        return module.run(f"builtin.module({','.join(passes)})")


def messages(diagnostics: Sequence[Diagnostic]) -> tuple[str, ...]:
    return tuple(f"{d.location}: {d.message}" if d.location else d.message for d in diagnostics)
