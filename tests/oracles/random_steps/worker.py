"""A process that judges random steps, one line of JSON after another; what `processes.py` starts.

It says what begins ("at reference") and then how it ended ("=> {...}").
"""

import faulthandler
import json
import sys
from dataclasses import asdict

from programs.random_steps.spec import RandomStep

from oracles.random_steps.methods import Asked
from oracles.random_steps.verdicts import judge

STACK_AFTER_SECONDS = 50


def say(phase: str) -> None:
    print(f"at {phase}", flush=True)


def main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        asked = task["asked"]
        if asked["mesh_shape"] is not None:
            asked["mesh_shape"] = tuple(asked["mesh_shape"])
        faulthandler.dump_traceback_later(STACK_AFTER_SECONDS)
        verdict = judge(RandomStep.from_json(task["step"]), Asked(**asked), say)
        faulthandler.cancel_dump_traceback_later()
        print(f"=> {json.dumps(asdict(verdict))}", flush=True)


if __name__ == "__main__":
    main()
