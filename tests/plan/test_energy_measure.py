"""Profiles that are measured, on devices that are not there: figures, errors, ways out."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import alpa_mlir as alpa
import pytest
from alpa_mlir.energy import measured
from alpa_mlir.energy.problem import EnergyStep
from alpa_mlir.energy.zeus_clocks import ZeusClocks
from alpa_mlir.errors import EnergyError
from alpa_mlir.schedule.schedule import Phase, TaskKind
from oracles.fake_devices import (
    WAITING_WATTS,
    FakeMeter,
    FakePipeline,
    FakeWorld,
    assert_restored_after_kill,
    busy_watts,
    task_seconds,
)

CLOCKS = (1000.0, 800.0, 600.0)
PHASES = {"forward": Phase.FORWARD, "backward": Phase.BACKWARD, "update": Phase.UPDATE}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    made = FakeWorld(2)
    monkeypatch.setattr(measured, "perf_counter", lambda: made.now)
    monkeypatch.setattr(measured, "sleep", made.pass_time)
    return made


def measure(
    world: FakeWorld, meter: FakeMeter, raises: BaseException | None = None
) -> alpa.EnergyProfile:
    pipeline = FakePipeline(world, raises)
    return alpa.EnergyProfile.measure(pipeline, "state", "batch", (600, 1000, 800), meter)


def test_profile_is_what_the_devices_draw(world: FakeWorld, tmp_path: Path) -> None:
    meter = FakeMeter(world)
    profile = measure(world, meter)
    assert len(profile.choices) == 2 * 2 * 3 + 2
    for choice in profile.choices:
        kind = TaskKind(choice.stage, PHASES[choice.instruction])
        rounds = 2 if choice.instruction == "update" else 1
        seconds = rounds * task_seconds(kind, choice.frequency)
        assert choice.time == pytest.approx(seconds)
        assert choice.energy == pytest.approx(busy_watts(choice.frequency) * seconds)
    assert profile.blocking_watts == pytest.approx((WAITING_WATTS, WAITING_WATTS))
    assert profile.fixed_tasks == ((0, "update"), (1, "update"))
    assert [c.frequency for c in profile.choices if c.instruction == "update"] == [600.0, 600.0]
    assert meter.num_restored == 1
    assert {stage for stage, _ in meter.requests} == {0, 1}
    profile.save(tmp_path / "profile.json")
    assert alpa.EnergyProfile.load(tmp_path / "profile.json") == profile


def test_measured_profile_has_a_frontier(world: FakeWorld) -> None:
    profile = measure(world, FakeMeter(world))
    step = EnergyStep(profile, "1f1b", 2, 4, num_update_rounds=2)
    frontier = alpa.EnergyFrontier.of(step)
    frontier.verify()
    planned = frontier.fastest.plan()
    assert planned.joules < frontier._highest[1]
    assert {str(task) for task in planned.frequencies} >= {"U0", "U0.r1", "U1", "U1.r1"}
    with pytest.raises(EnergyError, match=r"update of stage \d: expected at least two choices"):
        alpa.EnergyFrontier.of(replace(step, profile=replace(profile, fixed_tasks=())))


@pytest.mark.parametrize(
    ("fails_at", "message"),
    [
        (
            "set",
            r"set the clocks of stage 0 to 1000 MHz, got: Insufficient Permissions; .* as root",
        ),
        ("read", r"read the energy of stage 0, got: Not Supported; .*from_model estimates"),
        ("count", r"stage 0 to draw energy in .* s, got 0 J; raise window_seconds"),
        ("restore", r"restore the clocks, got: the device is lost; another process tries it now"),
    ],
)
def test_devices_that_fail_are_one_clear_line(
    world: FakeWorld, fails_at: str, message: str, tmp_path: Path
) -> None:
    meter = FakeMeter(world, fails_at, tmp_path / "restored")
    with pytest.raises(EnergyError, match=message) as caught:
        measure(world, meter)
    assert "\n" not in str(caught.value)
    if fails_at == "read":  # before a clock was set
        assert not meter.requests
    elif fails_at == "restore":
        assert (tmp_path / "restored").exists()
    else:
        assert meter.num_restored == 1
        assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("raises", [KeyboardInterrupt(), MemoryError("of the device")])
def test_clocks_are_restored_when_measuring_ends_early(
    world: FakeWorld, raises: BaseException
) -> None:
    meter = FakeMeter(world)
    with pytest.raises(type(raises)):
        measure(world, meter, raises)
    assert len(meter.requests) == 3 * len(CLOCKS)
    assert meter.num_restored == 1
    assert world.megahertz == [1000.0, 1000.0]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import alpa_mlir as alpa
from oracles.fake_devices import FakeMeter, FakeWorld, SlowPipeline
world = FakeWorld(2)
meter = FakeMeter(world, flag=Path({flag!r}))
alpa.EnergyProfile.measure(SlowPipeline(world), "state", "batch", (1000, 800), meter)
"""


def test_clocks_are_restored_when_measuring_is_killed(tmp_path: Path) -> None:
    assert_restored_after_kill(KILLED, "measuring", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frequencies": (1000,)}, r"at least two frequencies above 0 MHz, got \[1000\]"),
        ({"frequencies": (1000, 1000)}, "at least two frequencies above 0 MHz"),
        ({"frequencies": (1000, 0)}, "at least two frequencies above 0 MHz"),
        ({"window_seconds": 0.0}, "window_seconds above 0, got 0"),
        ({"executable": "step"}, r"the executable of a pipeline, got str; step\.compile"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    world: FakeWorld, changes: dict[str, Any], message: str
) -> None:
    meter = FakeMeter(world)
    asked: dict[str, Any] = {"executable": FakePipeline(world), "frequencies": CLOCKS, **changes}
    with pytest.raises(EnergyError, match=message):
        alpa.EnergyProfile.measure(state="state", batch="batch", meter=meter, **asked)
    assert not meter.requests


# --- Through zeus ---

FAKE_ZEUS = """
import os
from pathlib import Path

def _note(line):
    with Path(os.environ["FAKE_ZEUS_LOG"]).open("a") as log:
        log.write(line + "\\n")

class Gpus:
    def get_name(self, gpu_index):
        return "Fake P100"

    def set_gpu_locked_clocks(self, gpu_index, min_clock_mhz, max_clock_mhz, block=True):
        _note(f"set {gpu_index} {min_clock_mhz} {max_clock_mhz}")

    def reset_gpu_locked_clocks(self, gpu_index, block=True):
        if os.environ["FAKE_ZEUS"] == "denies":
            raise RuntimeError("Insufficient Permissions")
        _note(f"reset {gpu_index}")

    def supports_get_total_energy_consumption(self, gpu_index):
        return os.environ["FAKE_ZEUS"] != "old"

    def get_total_energy_consumption(self, gpu_index):
        return 1500 * (1 + gpu_index)

def get_gpus():
    if os.environ["FAKE_ZEUS"] == "no driver":
        raise RuntimeError("NVML unavailable")
    return Gpus()
"""
GPUS = [
    [SimpleNamespace(platform="gpu", local_hardware_id=number) for number in numbers]
    for numbers in ((0, 1), (2, 3))
]


@pytest.fixture
def zeus_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in for the package; environment FAKE_ZEUS says how its devices are."""
    package = tmp_path / "packages" / "zeus"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "device.py").write_text(FAKE_ZEUS)
    _forget_zeus(monkeypatch)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("FAKE_ZEUS", "works")
    monkeypatch.setenv("FAKE_ZEUS_LOG", str(tmp_path / "log"))
    yield tmp_path / "log"
    for name in [name for name in sys.modules if name.split(".")[0] == "zeus"]:
        del sys.modules[name]


def _forget_zeus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "zeus"]:
        monkeypatch.delitem(sys.modules, name)


def test_zeus_sets_reads_and_restores(zeus_log: Path) -> None:
    clocks = ZeusClocks(GPUS)
    clocks.set_megahertz(1, 1005.4)
    assert clocks.joules(0) == 1.5 + 3.0
    subprocess.run(clocks.restore_command(), check=True)
    resets = [f"reset {number}" for number in range(4)]
    assert zeus_log.read_text().splitlines() == [
        *resets, "set 2 1005 1005", "set 3 1005 1005", *resets,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("denies", r"permission to set clocks .*, got: Insufficient Permissions; run as root"),
        ("no driver", r"devices that zeus can read, got: NVML unavailable; run where NVIDIA's"),
        ("old", r"counts the energy it draws, got device 0, Fake P100; NVIDIA's do from Volta on"),
    ],
)
def test_what_zeus_lacks_is_one_clear_line(
    zeus_log: Path, monkeypatch: pytest.MonkeyPatch, world: FakeWorld, state: str, message: str
) -> None:
    monkeypatch.setenv("FAKE_ZEUS", state)
    pipeline = FakePipeline(world)
    pipeline.stage_devices = GPUS
    with pytest.raises(EnergyError, match=message) as caught:
        alpa.EnergyProfile.measure(pipeline, "state", "batch", CLOCKS)
    assert "\n" not in str(caught.value)
    assert not zeus_log.exists() or "set" not in zeus_log.read_text().split()


def test_devices_that_zeus_cannot_set_are_refused(zeus_log: Path) -> None:
    others = [[SimpleNamespace(platform="cpu", local_hardware_id=0)]]
    with pytest.raises(EnergyError, match=r"expected NVIDIA GPUs, .* got 'cpu' devices; pass"):
        ZeusClocks(others)
    assert not zeus_log.exists()


def test_zeus_that_lacks_a_part_is_one_clear_line(zeus_log: Path, tmp_path: Path) -> None:
    (tmp_path / "packages" / "zeus" / "device.py").write_text("import no_such_bindings\n")
    with pytest.raises(EnergyError, match=r"zeus to be whole, .*'no_such_bindings'; pip install"):
        ZeusClocks(GPUS)
    assert not zeus_log.exists()


def test_missing_zeus_is_one_clear_line(world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_zeus(monkeypatch)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "zeus").exists()])
    with pytest.raises(EnergyError, match=r"package zeus, got none; pip install 'alpa_mlir\[ene"):
        alpa.EnergyProfile.measure(FakePipeline(world), "state", "batch", CLOCKS)


@pytest.mark.skipif(find_spec("zeus") is None, reason="no zeus here: pip install '.[energy]'")
def test_zeus_has_what_is_called() -> None:
    """Names and parameters alone: no device is asked for anything."""
    gpus = import_module("zeus.device.gpu.nvidia").NVIDIAGPUs
    for name, arguments in (
        ("set_gpu_locked_clocks", (0, 1000, 1000)),
        ("reset_gpu_locked_clocks", (0,)),
        ("supports_get_total_energy_consumption", (0,)),
        ("get_total_energy_consumption", (0,)),
        ("get_name", (0,)),
    ):
        inspect.signature(getattr(gpus, name)).bind(gpus, *arguments)
    assert callable(import_module("zeus.device").get_gpus)
