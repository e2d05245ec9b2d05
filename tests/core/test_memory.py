"""Whoever runs out of memory, the search ends in a MemoryError, on whichever thread it happens."""

import subprocess
import sys

from alpa_mlir import _native

CHILD = """
import importlib.util, random, resource, sys

spec = importlib.util.spec_from_file_location("_native", sys.argv[1])
native = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native)
rng = random.Random(0)
problem = native.ShardingProblem()
for _ in range(1500):
    problem.add_node((0, 0), [rng.randrange(1000) for _ in range(12)], [0] * 12)
for node in range(4500):
    ends = rng.sample(range(1500), 2)
    problem.add_edge(*ends, [rng.randrange(1000) for _ in range(144)])
core = native.ReducibleProblem(problem, native.BLOCKED_COST).core()
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
try:
    native.solve_core(core, time_limit_seconds=60, work_limit=40_000_000, patience=1 << 62,
                      num_threads=4, seed=0,
                      stop_gap=0, cutoff=native.BLOCKED_COST, on_progress=lambda *_: True)
except MemoryError:
    print("MemoryError")
else:
    print("solved")
"""


NO_THREAD_LOCAL_DATA = "cannot allocate memory for thread-local data: ABORT"
"""glibc's last word where a new thread has no room for what is its own; there is no way to ask."""


def test_search_without_memory_ends_in_an_error() -> None:
    outcomes: list[str] = []
    for mebibytes in (0, 2, 16, 64, 4096):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(_native.__file__), str(mebibytes << 20)],
            capture_output=True,
            text=True,
            check=False,
        )
        is_glibc = child.returncode == 127 and NO_THREAD_LOCAL_DATA in child.stderr
        assert child.returncode == 0 or is_glibc, (mebibytes, child.returncode, child.stderr)
        outcomes.append(child.stdout.strip())
    assert outcomes[0] == "MemoryError"
    assert outcomes[-1] == "solved"
