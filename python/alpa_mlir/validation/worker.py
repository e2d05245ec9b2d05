"""The process that compiles: it starts with the environment that the plan's devices want.

    python -m alpa_mlir.validation.worker PLAN_AND_MODULE ANSWER

Both are JSON files. Progress goes to standard output, a JSON line for each; errors of ours into the
answer, which is there when it is whole.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from alpa_mlir.errors import AlpaError
from alpa_mlir.files import write_text
from alpa_mlir.plan.json import plan_from_json
from alpa_mlir.progress import Progress, Stopwatch
from alpa_mlir.validation.compiled import validate


def main(question: str, answer: str) -> None:
    # Whatever else prints must not come between the lines of progress.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(progress: Progress) -> None:
        print(json.dumps(asdict(progress)), file=lines, flush=True)

    asked = json.loads(Path(question).read_text())
    try:
        plan = plan_from_json(asked["plan"])
        found = validate(plan, asked["module"], Stopwatch(f"validate {plan.program_name}", tell))
        told = {"validation": asdict(found)}
    except AlpaError as error:
        told = {"error": type(error).__name__, "message": str(error)}
    write_text(answer, json.dumps(told), AlpaError)


if __name__ == "__main__":
    main(*sys.argv[1:])
