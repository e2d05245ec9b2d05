"""What the normalised module of a program, and with it the meaning of choices, depends on."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from alpa_mlir import _native
from alpa_mlir.fields import Checked


@dataclass(frozen=True)
class Versions(Checked):
    """Of JAX, which writes the module, and of our passes, which normalise it."""

    jax: str
    passes: str

    @staticmethod
    def here() -> Versions:
        return Versions(jax.__version__, _native.VERSION)

    def __str__(self) -> str:
        return f"JAX {self.jax} and passes {self.passes}"
