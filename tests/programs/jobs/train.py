"""A job that trains under each method it is asked for, and writes what it saw.

train.py FOLDER MODEL METHOD...: process 0 writes METHOD.plan.json, process P METHOD.P.npz with its
shards of the state and METHOD.P.json with losses and counts.
"""

import json
import sys
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
from alpa_mlir.runtime.pipeline import PipelineExecutable
from programs.job_training import METHODS, job_model, train


def run(folder: Path, model_name: str, name: str) -> None:
    index = jax.process_index()
    step = alpa.parallelize(job_model(model_name).train_step, METHODS[name])
    losses, shards = train(job_model(model_name), step)
    executable = step.executable
    assert executable is not None
    found: dict[str, Any] = {"losses": losses}
    if isinstance(executable, PipelineExecutable):
        found["stages"] = sorted({kind.stage for kind in executable.compiled})
        found["num_issued"] = len(executable.driver.issued)
        found["transport"] = executable.transport
        found["memory"] = executable.memory_analysis()
    (folder / f"{name}.{index}.json").write_text(json.dumps(found))
    named: dict[str, Any] = shards
    np.savez(folder / f"{name}.{index}.npz", **named)
    if index == 0:
        executable.plan.save(folder / f"{name}.plan.json")


alpa.initialize()
for asked in sys.argv[3:]:
    run(Path(sys.argv[1]), sys.argv[2], asked)
