"""Several processes save and restore leaves of which each has all, some or nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint

PATIENCE_SECONDS = 120


def test_two_processes_save_what_they_own(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).resolve().parents[1]
    paths = [str(root), str(root.parent / "python"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "programs.two_processes", str(i), str(port), str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    try:
        outputs = [child.communicate(timeout=PATIENCE_SECONDS)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    assert all("restored" in output for output in outputs), "\n".join(outputs)

    names = sorted(each.name for each in tmp_path.iterdir())
    assert [name.split(".")[0] for name in names] == ["1", "2"]
    assert names[1].endswith(".damaged")  # for one process alone
    value = np.arange(64, dtype=np.float32).reshape(8, 8)
    target = {"both": value, "first": value, "second": (value, value[0]), "host": value}
    keys = jax.random.split(jax.random.key(0))
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        read = checkpointer.restore(tmp_path / "1" / "state", {**target, "keys": keys})
    np.testing.assert_array_equal(jax.random.key_data(read["keys"]), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(read["second"][0], value + 2)
    np.testing.assert_array_equal(read["first"], value + 1)
