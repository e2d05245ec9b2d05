"""Runs every check on every variant of a file, for mutated_modules.py: a child that may die.

    python pass_worker.py NATIVE VARIANTS CHECKS LOG VARIANT CHECK

loads the compiled module from its file (so JAX is not imported) and goes on from a check of a
variant. The log has a line before each check, `VARIANT CHECK`, and a line `! "..."` after one that
neither succeeded nor failed with a diagnostic. If the process dies, the last line names why.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

SECONDS_PER_CHECK = 10
MEMORY_BYTES = 4 << 30

WAY = (
    "alpa-normalize",
    "alpa-unroll-loops",
    "alpa-split-stacks",
    "alpa-separate-rows",
    "alpa-join-chunks{num-microbatches=4}",
    "alpa-analyze-training",
    "alpa-split-microbatches{num-microbatches=2}",
    "alpa-cluster-layers{num-layers=2}",
    "alpa-split-stages{first-layers=0,1}",
    "alpa-verify-stages",
    "alpa-extract-stage{stage=1}",
    "alpa-normalize",
)


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("_native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shard(native: Any, module: Any, sizes: list[int]) -> None:
    """All that the planner asks of a sharding model, then what lowering does with the answer."""
    names = list("xyz"[: len(sizes)])
    link = native.Link(1e-5, 1e11)
    mesh = native.DeviceMesh(names, sizes, 4, link, link)
    device = native.DeviceSpec({"f32": 1e14}, 1e12, 0, True)
    model = native.ShardingModel(module, mesh, device)
    last = [len(model.strategy_names(vertex)) - 1 for vertex in range(model.num_vertices)]
    for choices in ([0] * len(last), last):
        model.complete(choices)
        model.collectives(choices)
        model.seconds(choices)
        model.phase_seconds(choices)
        model.phase_temporary_bytes(choices)
        model.boundary(choices)
    model.apply(last)
    try:
        module.clone().run("builtin.module(alpa-split-phases)")
    except RuntimeError as error:
        if "error: " not in str(error):
            raise
    module.run("builtin.module(alpa-annotate-shardings,alpa-verify-shardings)")


def check(native: Any, text: str, what: str) -> None:
    module = native.Module.parse(text)
    if what == "summary":
        module.functions()
        module.num_layers()
        module.structure_key()
    elif what == "way":
        for each in WAY:
            module.run(f"builtin.module({each})")
        shard(native, module, [2])
    elif what.startswith("shard "):
        shard(native, module, [int(size) for size in what.split()[1:]])
    else:
        module.run(f"builtin.module({what})")


def complaint(native: Any, text: str, what: str) -> str | None:
    """Why the outcome is not one of those allowed: success, or a diagnostic."""
    try:
        check(native, text, what)
    except RuntimeError as error:
        return None if "error: " in str(error) else f"no diagnostic: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    native = load(sys.argv[1])
    variants = Path(sys.argv[2]).read_text().splitlines()
    checks: list[str] = json.loads(sys.argv[3])
    first_variant, first_check = int(sys.argv[5]), int(sys.argv[6])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(first_variant, len(variants)):
        text = json.loads(variants[number])
        for index in range(first_check if number == first_variant else 0, len(checks)):
            os.write(log, f"{number} {index}\n".encode())
            # Of processor time, however busy the machine is. Not caught: ends the process.
            signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_CHECK)
            said = complaint(native, text, checks[index])
            signal.setitimer(signal.ITIMER_PROF, 0)
            if said is not None:
                os.write(log, f"! {json.dumps(said)}\n".encode())
    os.write(log, b"done\n")


if __name__ == "__main__":
    main()
