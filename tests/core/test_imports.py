"""What importing the package costs: `alpa-opt` and every other command pay it at each start."""

import os
import subprocess
import sys


def test_import_leaves_the_solver_unloaded() -> None:
    program = "import sys, alpa_mlir; print([n for n in ('cvxpy', 'highspy') if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"
