"""Command lines as their users meet them: what they answer, and the one line they refuse with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
from alpa_mlir.cli.plan.main import group
from click.testing import CliRunner, Result
from steps_to_trace import abstract_args, train_step

STEP = ["steps_to_trace:train_step", "--args", "steps_to_trace:abstract_args"]
METHOD = ["--method", "ShardParallel", "--mesh-shape", "8", "--cluster", "dgx-h100", "--quiet"]


def run(*arguments: object, command: Any = group) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def answer(*arguments: object) -> str:
    ran = run(*arguments)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def refusal(*arguments: object, command: Any = group) -> str:
    """The one line of a command that refuses its input."""
    ran = run(*arguments, command=command)
    assert ran.exit_code == 2, ran.output
    assert isinstance(ran.exception, SystemExit), ran.exception
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def lowered() -> Any:
    """A step as JAX lowers it, unmarked."""
    return jax.jit(train_step, donate_argnums=0).lower(*abstract_args())


def run_module(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program of its own, as `python -m` starts it in that folder."""
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=folder,
    )
