"""A job in which process 1 is lost, or leaves the others waiting, somewhere:
silence.py WHERE HOW VICTIM METHOD HANG_SECONDS.

WHERE: step | plan | collective. HOW: kill | stop | idle. HANG_SECONDS: of `initialize`, 0 is never.
"""

import os
import signal
import sys
import time
from typing import Any

import alpa_mlir as alpa
import jax
from alpa_mlir import planner
from jax.experimental import multihost_utils
from programs.job_training import METHODS, job_model

where, how, victim, method, hang_seconds = sys.argv[1:]
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def lose_it() -> None:
    if jax.process_index() != int(victim):
        return
    print(f"lost in {where}", flush=True)
    if how == "idle":
        load_for_ever()
    os.kill(os.getpid(), SIGNALS[how])


def load_for_ever() -> None:
    time.sleep(600)


def lose_it_in_planning() -> None:
    """The process that plans is lost while it does, another while it waits for the plan."""
    if jax.process_index() == 0:
        plan_it = planner.plan_program

        def plan_slowly(*args: Any) -> Any:
            lose_it()
            time.sleep(60)
            return plan_it(*args)

        sys.modules["alpa_mlir.plan_agreement"].plan_program = plan_slowly  # type: ignore[attr-defined]
    else:
        signal.signal(signal.SIGALRM, lambda *_: lose_it())
        signal.alarm(4)


alpa.initialize(heartbeat_seconds=6, hang_seconds=float(hang_seconds) or None)
if where == "collective":
    lose_it()
    multihost_utils.sync_global_devices("first")
model = job_model("mlp:alpa-test")
batch = model.example_batch(jax.random.key(1))
step = alpa.parallelize(model.train_step, METHODS[method])
if where == "plan":
    lose_it_in_planning()
state, loss = step(model.init_state(jax.random.key(0)), batch)
for number in range(2, 10_000):
    if number == 5:
        lose_it()
    state, loss = step(state, batch)
    loss.block_until_ready()
