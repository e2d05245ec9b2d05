"""Validates a plan in a process of its own: what JAX compiles for is fixed when it starts, and a
compiler that crashes ends its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from alpa_mlir.errors import AlpaError, ClusterError, CompileError, PassError, PlanError
from alpa_mlir.fields import read
from alpa_mlir.plan.data import PlanData
from alpa_mlir.plan.json import plan_to_json
from alpa_mlir.progress import OnProgress, Progress, say_nothing
from alpa_mlir.xla.absent import check_compiler, environment
from alpa_mlir.xla.comparison import Validation

_WORKER = "alpa_mlir.validation.worker"
_ADVICE = "install alpa_mlir again"
# What the worker may raise, by name.
_ERRORS = {kind.__name__: kind for kind in (ClusterError, CompileError, PassError, PlanError)}
_MOST_SHOWN = 500  # characters of what a process said last


def validate_plan(plan: PlanData, module: str, on_progress: OnProgress = say_nothing) -> Validation:
    """Compiles the plan's programs for its devices, and compares; minutes for large models.

    Args:
      module: the traced function that the plan is of.

    Raises:
      ClusterError: nothing compiles for its devices here. PlanError: the plan is not one of the
      module. CompileError: XLA refused a program, or crashed.
    """
    check_compiler(plan.cluster)
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "question.json", Path(folder) / "answer.json"
        question.write_text(json.dumps({"plan": plan_to_json(plan), "module": module}))
        with (Path(folder) / "log").open("w+") as log:
            exit_code = _run(plan, question, answer, log.fileno(), on_progress)
            if not answer.exists():
                log.seek(0)
                raise CompileError(
                    f"XLA ended the process that compiled '{plan.program_name}' (exit code "
                    f"{exit_code}): ...{log.read()[-_MOST_SHOWN:].strip()}"
                )
        return _read(json.loads(answer.read_text()))


def _run(plan: PlanData, question: Path, answer: Path, log: int, on_progress: OnProgress) -> int:
    """The exit code."""
    search_path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-m", _WORKER, str(question), str(answer)],
        env={**os.environ, **environment(plan.cluster), "PYTHONPATH": search_path},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                on_progress(Progress(**json.loads(line)))
            return process.wait()
        finally:
            process.kill()  # nothing, where it has ended


def _read(told: dict[str, object]) -> Validation:
    if "error" in told:
        raise _ERRORS.get(str(told["error"]), AlpaError)(told["message"])
    return read(Validation, told["validation"], CompileError, _ADVICE)
