"""Profiles of devices: curves from measurements, files, and the cluster that they make."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import pytest
from alpa_mlir.cli.plan.main import group
from alpa_mlir.cluster import Link
from alpa_mlir.cluster.efficiency import Curve, Efficiency, MemoryCurve
from alpa_mlir.cluster.profile import Profile, ProfileKey
from alpa_mlir.errors import ClusterError
from alpa_mlir.profiling import profile as profiling
from alpa_mlir.profiling.fit import Measurement, fit
from alpa_mlir.profiling.ops import SMALL, MeasuredOp, all_ops
from alpa_mlir.profiling.timing import Timer
from alpa_mlir.xla.hlo_text import parse_computations, run_counts
from click.testing import CliRunner

LINK = Link(5e-6, 2e9)
SEND_FACTORS = {"all-reduce": (2.0, 2.0), "collective-permute": (1.0, None)}


def imaginary_seconds(op: MeasuredOp) -> float:
    """A device with 1 us per op, 10 GB/s, 100 GFLOP/s and links as above."""
    if op.group_size == 1:
        return 1e-6 + max(op.flops / 1e11, op.num_bytes / 1e10)
    times, factor = SEND_FACTORS.get(op.op_class, (1.0, 1.0))
    sent = op.num_bytes
    if factor is not None:
        sent *= factor * (op.group_size - 1) / op.group_size
    return times * LINK.latency_seconds + sent / LINK.bytes_per_second


def imaginary_measurements() -> list[Measurement]:
    ops = all_ops(SMALL, 8)
    return [Measurement(op, imaginary_seconds(op)) for op in ops]


def imaginary_profile() -> Profile:
    return profiling.make_profile(jax.local_devices(), imaginary_measurements(), 1.0)


# --- Fits ---


def test_fit_finds_the_device_again() -> None:
    found = fit(imaginary_measurements(), "here")
    assert found.link is not None
    assert found.link.latency_seconds == pytest.approx(LINK.latency_seconds, rel=1e-6)
    assert found.link.bytes_per_second == pytest.approx(LINK.bytes_per_second, rel=1e-6)
    assert found.memory_bytes_per_second == pytest.approx(1e10, rel=0.05)
    assert found.peak_flops["f32"] == pytest.approx(1e11, rel=0.05)


def test_errors_are_of_ops_held_out_and_small_on_a_smooth_device() -> None:
    measurements = imaginary_measurements()
    errors = {e.op_class: e for e in fit(measurements, "here").efficiency.errors}
    held_out = [m for m in measurements if m.op.is_held_out]
    assert sum(e.num_ops for e in errors.values()) == len(held_out)
    assert {"elementwise", "product f32", "all-reduce"} <= errors.keys()
    assert max(e.mean for e in errors.values()) < 0.15


def test_errors_grow_where_held_out_ops_are_slower() -> None:
    slower = [
        replace(m, seconds=m.seconds * (3 if m.op.is_held_out else 1))
        for m in imaginary_measurements()
    ]
    assert min(e.mean for e in fit(slower, "here").efficiency.errors) > 0.5


def test_errors_of_collectives_are_those_of_the_link_that_prices_them() -> None:
    """A kind that is slower than the others has a curve of its own, but no link of its own."""
    slower = [
        replace(m, seconds=m.seconds * (3 if m.op.op_class == "all-reduce" else 1))
        for m in imaginary_measurements()
    ]
    found = fit(slower, "here")
    errors = {e.op_class: e for e in found.efficiency.errors}
    assert errors["all-reduce"].mean > 0.3
    assert "all-reduce" in {c.kind for c in found.efficiency.collectives}


def test_seconds_that_fall_are_averaged() -> None:
    struct = jax.ShapeDtypeStruct((8,), "float32")

    def measured(op_class: str, num_bytes: float, seconds: float) -> Measurement:
        op = MeasuredOp(op_class, "f32", (struct,), None, 0.0, num_bytes)
        return Measurement(op, seconds)

    product = Measurement(MeasuredOp("product", "f32", (struct,), None, 1e9, 10.0), 1.0)
    found = fit(
        [
            measured("elementwise", 100, 1e-6),
            measured("elementwise", 1000, 4e-6),
            measured("elementwise", 10000, 1e-6),
            product,
        ],
        "here",
    )
    assert found.efficiency.memory[0].curve.seconds == pytest.approx((1e-6, 2e-6, 2e-6))


def test_prefix_of_the_ops_has_something_of_everything() -> None:
    ops = all_ops(SMALL, 8)
    some = ops[: len(ops) // 3]
    assert {op.op_class for op in some} == {op.op_class for op in ops}
    assert any(op.is_held_out for op in some)


def test_curves_of_the_h200_are_those_of_what_was_kept_of_its_measurements() -> None:
    results = Path(__file__).parents[2] / "benchmarks/results/2026-11-27-h200-measurements.json"
    kept = json.loads(results.read_text())["measurements"]
    fitted = ("op_class", "element_type", "flops", "num_bytes", "is_held_out", "group_size")
    found = fit(
        [
            Measurement(
                MeasuredOp(operands=(), run=None, **{name: each[name] for name in fitted}),
                each["seconds"],
            )
            for each in kept
        ],
        "here",
    ).efficiency
    preset = alpa.Cluster.preset("dgx-h200").device.efficiency
    assert preset is not None
    assert results.name in preset.source
    for theirs, ours in ((preset.products, found.products), (preset.memory, found.memory)):
        assert len(theirs) == len(ours)
        for a, b in zip(theirs, ours, strict=True):
            assert replace(a, curve=b.curve) == b
            assert a.curve.sizes == pytest.approx(b.curve.sizes, rel=1e-5)
            assert a.curve.seconds == pytest.approx(b.curve.seconds, rel=1e-5)


# --- Timing ---


def test_timer_tells_large_from_small() -> None:
    ops = [op for op in all_ops(SMALL, 1) if op.op_class == "product"]
    small, large = min(ops, key=lambda op: op.flops), max(ops, key=lambda op: op.flops)
    timer = Timer(jax.local_devices()[:1], SMALL, can_unroll=True)
    seconds = [timer.seconds(op, timer.compile(op)) for op in (small, large)]
    assert seconds[0] < seconds[1] / 5


# What each class is in optimised HLO for CPUs.
OPCODES = {
    "product": "dot",
    "batched_product": "dot",
    "convolution": "convolution",
    "elementwise": "multiply",
    "reduce": "reduce",
    "transpose": "transpose",
    "gather": "gather",
    "all-reduce": "all-reduce",
    "all-to-all": "all-to-all",
}


@pytest.mark.parametrize("can_unroll", [False, True])
@pytest.mark.parametrize("op_class", OPCODES)
def test_timed_program_runs_the_op_as_often_as_it_counts(op_class: str, can_unroll: bool) -> None:
    """XLA leaves out what it sees twice, and what nobody reads: of the H200's second run, all but
    every eighth op."""
    devices = jax.local_devices()[:2]
    op = min(
        (op for op in all_ops(SMALL, len(devices)) if op.op_class == op_class),
        key=lambda op: op.num_bytes,
    )
    program = Timer(devices, SMALL, can_unroll).compile(op)
    assert program.num_runs > 8
    assert num_runs_in(program.compiled.as_text(), OPCODES[op_class]) >= program.num_runs


def num_runs_in(hlo: str, opcode: str) -> int:
    """How often a run of the program runs such an instruction, loops counted."""
    computations = parse_computations(hlo)
    counts = run_counts(computations)
    return sum(
        counts.get(name, 0)
        for name, computation in computations.items()
        for instruction in computation.values()
        if instruction.opcode == opcode
    )


# --- Files ---


def test_save_and_load_gives_the_same_profile(tmp_path: Path) -> None:
    profile = imaginary_profile()
    profile.save(tmp_path / "new" / "profile.json")
    assert Profile.load(tmp_path / "new" / "profile.json") == profile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 9}, "expected a profile of version 1, got 9"),
        ({"memory_bytes_per_second": -1}, "memory_bytes_per_second: expected at least 1, got -1"),
        ({"peak_flops": {}}, "peak_flops: expected a length of at least 1"),
        ({"extra": 1}, "extra: expected no field of this name"),
    ],
)
def test_malformed_profile_is_one_clear_error(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "profile.json"
    imaginary_profile().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ClusterError, match=r"cannot read the profile .*profile\.json") as raised:
        alpa.Cluster.local(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_file_that_is_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(ClusterError, match="cannot read the profile"):
        Profile.load(path)


@pytest.mark.parametrize(
    ("sizes", "seconds", "message"),
    [
        ((), (), "a length of at least 1"),
        ((1.0, 2.0), (1.0,), "expected 2 of them, one per size, got 1"),
        ((2.0, 1.0), (1.0, 2.0), "expected them to rise"),
        ((1.0, 2.0), (2.0, 1.0), "never to fall"),
        ((1.0,), (0.0,), "expected them above 0"),
    ],
)
def test_curve_that_is_none(
    sizes: tuple[float, ...], seconds: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        Curve(sizes, seconds)


def test_two_curves_of_a_class_are_refused() -> None:
    curve = MemoryCurve("reduce", Curve((1.0,), (1.0,)))
    with pytest.raises(ClusterError, match="expected one curve for reduce, got two"):
        Efficiency("here", memory=(curve, curve))


# --- Clusters ---


def test_local_cluster_is_as_measured() -> None:
    profile = imaginary_profile()
    cluster = alpa.Cluster.local(profile)
    assert cluster.device.efficiency == profile.efficiency
    assert cluster.device.memory_bytes_per_second == profile.memory_bytes_per_second
    assert cluster.intra_node == profile.link
    assert alpa.Cluster.from_json(json.loads(json.dumps(cluster.to_json()))) == cluster


def test_local_cluster_finds_the_profile_of_its_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert alpa.Cluster.local().device.efficiency is None
    profile = imaginary_profile()
    profile.save(profile.key.path)
    assert profile.key.path.is_relative_to(tmp_path)
    assert alpa.Cluster.local().device.efficiency == profile.efficiency


def test_profile_of_other_devices_is_refused() -> None:
    other = replace(imaginary_profile(), key=ProfileKey("cpu", "cpu", jax.__version__, 3))
    with pytest.raises(ClusterError, match="expected a profile of 8 x cpu, got one of 3 x cpu"):
        alpa.Cluster.local(other)


def test_plan_is_priced_by_the_profile() -> None:
    """An op that only moves data takes what its curve says."""
    profile = imaginary_profile()
    cluster = alpa.Cluster.local(profile)
    struct = jax.ShapeDtypeStruct((4096, 4096), "float32")
    method = alpa.ShardParallel(mesh_shape=(8,))
    step = alpa.parallelize(lambda x: x.T, method, cluster, batch_argnums=(0,), donate_argnums=())
    curve = next(m.curve for m in profile.efficiency.memory if m.op_class == "transpose")
    rate = curve.sizes[-1] / curve.seconds[-1]
    assert step.plan(struct).step_seconds == pytest.approx(2 * 4096**2 * 4 / 8 / rate, rel=1e-3)


# --- Command ---


def test_command_writes_the_profile_and_states_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurements = imaginary_measurements()
    monkeypatch.setattr("alpa_mlir.cli.plan.profile.measure", lambda *_: measurements)
    files = ["--output", str(tmp_path / "p.json"), "--measurements", str(tmp_path / "m.json")]
    ran = CliRunner().invoke(group, ["profile", "--quiet", *files])
    assert ran.exit_code == 0, ran.output
    assert Profile.load(tmp_path / "p.json").num_ops == len(measurements)
    assert len(json.loads((tmp_path / "m.json").read_text())) == len(measurements)
    assert "error on ops held out" in ran.output
    assert "by which plans price collectives" in ran.output


def test_command_without_time_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpa_mlir.cli.plan.profile.measure", lambda *_: [])
    ran = CliRunner().invoke(group, ["profile", "--quiet"])
    assert ran.exit_code == 2
    assert "give it more time with --seconds" in ran.output


def test_command_with_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ran = CliRunner().invoke(group, ["profile", "--output", str(tmp_path / "no" / "p.json")])
    assert ran.exit_code == 2
    assert "there is no folder" in ran.output
