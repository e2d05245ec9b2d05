"""What every test layer shares: eight virtual CPU devices and reproducible property tests.

The environment is set before anything imports JAX; pytest-xdist's workers and subprocesses inherit
it.
"""

import os

from hypothesis import settings

NUM_DEVICES = 8

os.environ["JAX_PLATFORMS"] = "cpu"
flags = [
    f"--xla_force_host_platform_device_count={NUM_DEVICES}",
    # LLVM does only what it must, in half the time: no test is about its machine code. What XLA
    # itself does to a program (collectives, fusion, buffers) comes before and is the same.
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()
# XLA's CPU client sizes its thread pools by NPROC; with two cores, programs full of collectives
# wait for one another for ever.
os.environ["NPROC"] = "32"
# What somebody has measured on this machine must not price what tests plan: no file can be there.
os.environ["XDG_CONFIG_HOME"] = os.devnull

settings.register_profile("repository", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repository")
