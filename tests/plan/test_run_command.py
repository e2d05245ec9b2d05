"""`alpa-run` and `alpa.initialize()`: what processes are told, how they end, what is refused."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import alpa_mlir as alpa
import pytest
from alpa_mlir.cli.run import main
from alpa_mlir.errors import ProcessError


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def run(*arguments: str | int | Path) -> int:
    return int(main.main(list(map(str, arguments)), standalone_mode=False))


def test_processes_know_their_numbers_and_arguments(
    script: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script.write_text(
        "import os, sys\n"
        "names = ('ALPA_PROCESS_ID', 'ALPA_NUM_PROCESSES', 'JAX_PLATFORMS', 'NPROC')\n"
        "print(*[os.environ[name] for name in names], *sys.argv[1:])\n"
        "print(os.environ['XLA_FLAGS'].split()[-1], file=sys.stderr)\n"
    )
    assert run("--processes", 2, "--devices-per-process", 3, script, "--lr", "0.1", "x") == 0
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == ["[0] 0 2 cpu 32 --lr 0.1 x", "[1] 1 2 cpu 32 --lr 0.1 x"]
    flag = "--xla_force_host_platform_device_count=3"
    assert sorted(err.splitlines()) == [f"[0] {flag}", f"[1] {flag}"]


@pytest.mark.slow
def test_all_end_when_one_fails_and_it_is_named(
    script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script.write_text(
        "import os, pathlib, signal, time\n"
        "index = os.environ['ALPA_PROCESS_ID']\n"
        f"pathlib.Path({str(tmp_path)!r}, index).write_text(str(os.getpid()))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if index == '2':\n"
        "    raise SystemExit(7)\n"
        "time.sleep(600)\n"
    )
    assert run("--processes", 3, script) == 7
    error = capfd.readouterr().err
    assert error == "error: process 2 ended with exit code 7; all processes have ended\n"
    for index in range(3):
        assert_is_gone(int((tmp_path / str(index)).read_text()))


def assert_is_gone(process: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_its_launcher(
    script: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """One that is killed cannot pass that on: the kernel does."""
    note = tmp_path / "process"
    script.write_text(
        "import os, pathlib, time\n"
        f"note = pathlib.Path({str(note)!r})\n"
        "import alpa_mlir\n"
        "alpa_mlir.initialize()\n"
        "note.with_suffix('.new').write_text(str(os.getpid()))\n"
        "note.with_suffix('.new').rename(note)\n"
        "time.sleep(600)\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-m", "alpa_mlir.cli.run", "--processes", "1", str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
    )
    wait_until(note.exists)
    launcher.send_signal(number)
    assert launcher.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    wait_until(lambda: not Path(f"/proc/{note.read_text()}").exists())


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_port_in_use_is_refused(script: Path) -> None:
    script.write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError, match=f"cannot use port {port} .*leave --port out"):
            run("--processes", 2, "--port", port, script)
        with pytest.raises(ProcessError, match=r"process 0 cannot listen on 127\.0\.0\.1:"):
            alpa.initialize(f"127.0.0.1:{port}", 2, 0)


def test_unreachable_coordinator_is_told() -> None:
    with pytest.raises(
        ProcessError, match=r"process 1 cannot reach the coordinator at 127\.0\.0\.1:9 "
    ):
        alpa.initialize("127.0.0.1:9", 2, 1, patience_seconds=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("127.0.0.1:9", 2, 2), "expected coordinator_address, num_processes and a process_id"),
        ((None, 2, 1), "start the script with alpa-run"),
        (("nowhere", 2, 1), "expected the address of the coordinator as host:port"),
        (("here:99999", 2, 1), "expected the address of the coordinator as host:port"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    arguments: tuple[str | None, int, int], message: str
) -> None:
    with pytest.raises(ProcessError, match=message):
        alpa.initialize(*arguments)


def test_variable_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPA_NUM_PROCESSES", "two")
    with pytest.raises(ProcessError, match="expected a number in ALPA_NUM_PROCESSES, got 'two'"):
        alpa.initialize()


@pytest.mark.slow
def test_a_process_alone_goes_on_alone(script: Path) -> None:
    # A process of its own: in this one JAX may have begun.
    script.write_text(
        "import alpa_mlir as alpa, jax\n"
        "alpa.initialize()\n"
        "alpa.initialize('127.0.0.1:9', 1, 0)\n"
        "print(jax.process_count())\n"
    )
    answer = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=120
    )
    assert answer.stdout.split() == ["1"]
