"""What a plan says, as data: the report shows it, `alpa-plan explain --json` prints it.

Seconds, bytes and counts are numbers as the plan has them; whoever shows them gives them units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from alpa_mlir.plan.data import PlanData, PlannedCollective, PlannedStage
from alpa_mlir.report.blocks import Block, blocks_of
from alpa_mlir.report.breakdown import TimeParts, breakdown
from alpa_mlir.report.explain import format_spec
from alpa_mlir.report.known_error import known_error


def summary(plan: PlanData) -> dict[str, Any]:
    """The plan in parts, each a row or a list of rows."""
    time = breakdown(plan)
    return {
        "plan": _plan(plan),
        "cluster": _cluster(plan),
        "time": _time(time.mean),
        "stages": [
            {**_stage(number, stage), "time": _time(parts)}
            for number, (stage, parts) in enumerate(zip(plan.stages, time.stages, strict=True))
        ],
        "blocks": [_block(block) for block in blocks_of(plan.arguments)],
        "results": [
            {
                "name": each.name,
                "type": _type(each.dtype, each.shape),
                "spec": format_spec(each.spec),
            }
            for each in plan.results
            if each.role == "result"
        ],
        "collectives": list(_collectives(plan)),
        "ops": list(_ops(plan)),
        "transfers": [asdict(each) for each in plan.transfers],
        "alternatives": [asdict(each) for each in plan.alternatives],
        "known_error": _known_error(),
        "remarks": list(plan.remarks),
    }


def _plan(plan: PlanData) -> dict[str, Any]:
    return {
        "program": plan.program_name,
        "module": plan.program_hash,
        "method": plan.method,
        "strategies": plan.strategy_space,
        "schedule": plan.schedule,
        "is_pipeline": plan.is_pipeline,
        "num_microbatches": plan.num_microbatches,
        "num_layers": plan.num_layers,
        "step_seconds": plan.step_seconds,
        "memory_bytes": plan.memory_bytes,
        "gap": plan.solver_gap,
        "prologue": None
        if plan.prologue is None
        else {"stage": plan.prologue.stage, "seconds": plan.prologue.seconds},
        "versions": str(plan.versions),
    }


def _cluster(plan: PlanData) -> dict[str, Any]:
    cluster = plan.cluster
    return {
        "name": cluster.name,
        "device": cluster.device.kind,
        "num_nodes": cluster.num_nodes,
        "devices_per_node": cluster.devices_per_node,
        "memory_bytes": cluster.device.memory_bytes,
        "intra_node_bytes_per_second": cluster.intra_node.bytes_per_second,
        "inter_node_bytes_per_second": cluster.inter_node.bytes_per_second,
        "prices": cluster.device.efficiency.source if cluster.device.efficiency else "peaks",
    }


def _time(parts: TimeParts) -> list[dict[str, Any]]:
    return [{"part": name, "seconds": seconds} for name, seconds in parts.items()]


def _stage(number: int, stage: PlannedStage) -> dict[str, Any]:
    return {
        "stage": number,
        "first_layer": stage.first_layer,
        "end_layer": stage.end_layer,
        "first_device": stage.first_device,
        "num_devices": len(stage.devices),
        "mesh": str(stage.mesh),
        "forward_seconds": stage.forward_seconds,
        "backward_seconds": stage.backward_seconds,
        "update_seconds": stage.update_seconds,
        "is_rematerialized": stage.is_rematerialized,
        "num_in_flight": stage.num_in_flight,
        "memory_bytes": stage.memory_bytes,
        "gap": stage.gap,
    }


def _block(block: Block) -> dict[str, Any]:
    return {
        "block": block.name,
        "stage": block.stage,
        "bytes": block.bytes_per_device,
        "tensors": [
            {
                "name": each.name,
                "part": part,
                "role": each.role,
                "type": _type(each.dtype, each.shape),
                "spec": format_spec(each.spec),
                "bytes": each.bytes_per_device,
                "reason": each.reason,
            }
            for each, part in zip(block.tensors, block.parts, strict=True)
        ],
    }


def _type(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


def _collectives(plan: PlanData) -> Iterator[dict[str, Any]]:
    """Alike ones of a stage together, the slowest first."""
    groups: dict[tuple[object, ...], list[PlannedCollective]] = {}
    for number in range(len(plan.stages)):
        for each in plan.collectives_of(number):
            key = (number, each.kind, each.axes, each.op_name, each.reason)
            groups.setdefault(key, []).append(each)
    rows: list[dict[str, Any]] = [
        {
            "stage": stage,
            "kind": group[0].kind,
            "axes": " ".join(group[0].axes),
            "op": group[0].op_name,
            "reason": group[0].reason,
            "runs": sum(each.count for each in group),
            "bytes": sum(each.bytes * each.count for each in group),
            "seconds": sum(each.seconds for each in group),
        }
        for (stage, *_), group in groups.items()
    ]
    yield from sorted(rows, key=lambda row: -row["seconds"])


def _ops(plan: PlanData) -> Iterator[dict[str, Any]]:
    """How many ops of a kind run in which way, on which stages."""
    groups: dict[tuple[str, str], dict[int, int]] = {}
    for number, stage in enumerate(plan.stages):
        for choice in stage.choices:
            if choice.op_id >= 0:
                counts = groups.setdefault((choice.node, choice.strategy), {})
                counts[number] = counts.get(number, 0) + 1
    rows: list[dict[str, Any]] = [
        {"op": op, "strategy": strategy, "count": sum(by_stage.values()), "stages": list(by_stage)}
        for (op, strategy), by_stage in groups.items()
    ]
    yield from sorted(rows, key=lambda row: -row["count"])


def _known_error() -> list[Mapping[str, Any]]:
    known = known_error()
    what = {"collectives": known.collectives, "memory": known.memory, "seconds": known.seconds}
    return [{"what": name, **asdict(of)} for name, of in what.items()]
