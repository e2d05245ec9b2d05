"""`Plan.compare`: what differs, and what each difference costs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from alpa_mlir.cluster.efficiency import Efficiency
from alpa_mlir.plan.data import PlannedPrologue
from alpa_mlir.report.breakdown import breakdown
from programs.hand_made_plans import hand_made_plan, whole_plan


def test_plan_is_the_same_as_itself() -> None:
    found = hand_made_plan().compare(hand_made_plan())
    assert found.is_same
    assert str(found) == "the plans are the same"


def test_time_adds_up_to_the_difference_of_the_steps() -> None:
    first, second = hand_made_plan(), hand_made_plan(1, 4, 4, 8)
    found = first.compare(second)
    assert {row.what for row in found.settings} == {"stages", "microbatches"}
    assert sum(row.seconds or 0 for row in found.time) == pytest.approx(
        second.step_seconds - first.step_seconds
    )
    assert re.search(r"stages +2 +4\n", str(found))
    assert f"{second.step_seconds / first.step_seconds - 1:+.1%}" in str(found)


def test_clusters_differ_in_figures_beside_other_settings() -> None:
    first = hand_made_plan()
    cluster = first.cluster
    flops = {**cluster.device.peak_flops, "f32": 1e12}
    device = replace(cluster.device, peak_flops=flops, efficiency=Efficiency("measured here"))
    link = replace(cluster.intra_node, bytes_per_second=1e9)
    other = replace(cluster, device=device, intra_node=link)
    second = replace(first, method="Zero2Parallel", cluster=other)
    assert [(row.what, row.second) for row in first.compare(second).settings] == [
        ("method", "Zero2Parallel"),
        ("device.peak_flops.f32", "1000000000000.0"),
        ("intra_node.bytes_per_second", "1000000000.0"),
        ("device.efficiency", "measured here"),
    ]


def test_clusters_of_as_many_devices_in_other_nodes() -> None:
    first = hand_made_plan(2)
    nodes = replace(first.cluster, num_nodes=4, devices_per_node=4)
    (row,) = first.compare(replace(first, cluster=nodes)).settings
    kind = first.cluster.device.kind
    assert (row.what, row.first, row.second) == ("devices", f"2 x 8 x {kind}", f"4 x 4 x {kind}")


def test_step_of_no_time_has_no_shares() -> None:
    found = hand_made_plan().compare(replace(hand_made_plan(), step_seconds=0.0))
    assert all(row.second.endswith("(0.0%)") for row in found.time)
    assert "bubble" in str(found)


def test_layers_that_run_elsewhere() -> None:
    first = hand_made_plan(1, 2, 4, 4)
    stages = (replace(first.stages[0], end_layer=1), replace(first.stages[1], first_layer=1))
    found = first.compare(replace(first, stages=stages))
    assert [row.what for row in found.layers] == ["layer 0", "layer 1", "layers 2 to 3"]
    assert found.layers[1].first.startswith("stage 0: devices 0 to 3")
    assert found.layers[1].second.startswith("stage 1: devices 4 to 7")
    assert all(row.seconds is None for row in found.layers)  # parts of stages have no price


def test_stage_on_another_mesh_has_a_price() -> None:
    first = hand_made_plan()
    stage = first.stages[1]
    slower = replace(stage, is_rematerialized=True, backward_seconds=stage.backward_seconds * 1.5)
    (row,) = first.compare(replace(first, stages=(first.stages[0], slower))).layers
    assert row.what == "layers 2 to 3"
    assert row.second.endswith("forward again")
    expected = 0.5 * stage.backward_seconds * first.num_microbatches
    assert row.seconds == pytest.approx(expected)
    prologue = PlannedPrologue(1, (), (), 0.25, 1, 1)
    late = replace(first, stages=(first.stages[0], slower), prologue=prologue)
    assert first.compare(late).layers[0].seconds == pytest.approx(expected + 0.25)


def test_tensor_that_lies_otherwise_has_its_price_in_bytes() -> None:
    first = hand_made_plan()
    tensor = first.arguments[0]
    whole = replace(tensor, spec=((), (), (), ()), bytes_per_device=4 * tensor.bytes_per_device)
    (row,) = first.compare(replace(first, arguments=(whole, *first.arguments[1:]))).tensors
    assert row.what == "layers[0]: attention.qkv"
    assert (row.first, row.second) == ("[y, -, -, -] on stage 0", "replicated on stage 0")
    assert row.num_bytes == 3 * tensor.bytes_per_device


def test_op_that_runs_otherwise_costs_its_collectives() -> None:
    first = whole_plan()
    stage = first.stages[0]
    choices = [replace(c, strategy="x=q") if c.op_id == 7 else c for c in stage.choices]
    collectives = [each for each in stage.collectives if each.kind != "all-reduce"]
    changed = replace(stage, choices=tuple(choices), collectives=tuple(collectives))
    found = first.compare(replace(first, stages=(changed,)))
    (op,) = found.ops
    (collective,) = found.collectives
    lost = stage.collectives[0].seconds
    assert op.second == "x=q"
    assert op.seconds == collective.seconds == pytest.approx(-lost)
    assert (collective.first, collective.second) == ("1 run", "-")
    assert dict(breakdown(first).mean.items())["all-reduce"] == pytest.approx(lost)


def test_comparison_is_json() -> None:
    found = hand_made_plan().compare(whole_plan())
    told = json.loads(json.dumps(found.to_json()))
    assert told["step_seconds"] == list(found.step_seconds)
    assert told["settings"][0] == {
        "what": "stages", "first": "2", "second": "1", "seconds": None, "num_bytes": None,
    }  # fmt: skip


def test_long_tables_end_with_a_count() -> None:
    first = hand_made_plan(1, 2, 96, 4)
    arguments = tuple(replace(each, spec=((),) * len(each.shape)) for each in first.arguments)
    text = str(first.compare(replace(first, arguments=arguments)))
    assert "and 346 more (--json has all)" in text
