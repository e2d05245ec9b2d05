"""Answers questions on stages: one line of JSON in, one out (see cost_table)."""

import json
import os
import sys

from alpa_mlir.errors import AlpaError
from alpa_mlir.inter_op.cost_stage import cost_stage, parse_once
from alpa_mlir.inter_op.costs import StageQuestion


def main() -> None:
    # Whatever else prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parse = parse_once()
    for line in sys.stdin:
        try:
            cost = cost_stage(StageQuestion.from_json(json.loads(line)), num_threads=1, parse=parse)
            answer = {"cost": None if cost is None else cost.to_json()}
        except (AlpaError, ValueError) as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
