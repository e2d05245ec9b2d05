"""What fields may hold; for all else, a line with the path, the expectation and the value."""

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import alpa_mlir as alpa
import numpy as np
import pytest
from alpa_mlir.errors import AlpaError, ArgumentError, ClusterError, PlanError
from alpa_mlir.fields import TUPLE_OR_LIST, Checked, Count, Fraction, Seconds, check, read


@dataclass(frozen=True)
class Part(Checked):
    seconds: Seconds
    names: tuple[str, ...] = ()
    pair: tuple[Count, Count] | None = None


@dataclass(frozen=True)
class Whole(Checked):
    name: str
    parts: tuple[Part, ...]
    size: Count | Literal["auto"] = "auto"
    rates: dict[str, Fraction] | None = None


@dataclass(frozen=True)
class Asked:
    count: Count
    shape: Annotated[tuple[Count, ...], TUPLE_OR_LIST] = ()

    def __post_init__(self) -> None:
        check(self, ArgumentError)


GOOD: dict[str, Any] = {"name": "a", "parts": [{"seconds": 1.5}]}


def test_json_becomes_dataclasses() -> None:
    data = {"name": "a", "parts": [{"seconds": 1, "names": ["b"], "pair": [1, 2]}], "size": 3}
    assert read(Whole, data, PlanError, "") == Whole("a", (Part(1, ("b",), (1, 2)),), 3)


def test_numbers_stay_as_they_are_written() -> None:
    """So that a file is the same when it is saved again."""
    for seconds in (1, 1.0, 0, 2.5e-9):
        part = read(Whole, {**GOOD, "parts": [{"seconds": seconds}]}, PlanError, "").parts[0]
        assert json.dumps(part.seconds) == json.dumps(seconds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": [{"seconds": -1}]}, "parts[0].seconds: expected at least 0, got -1"),
        ({"parts": [{"seconds": "1"}]}, "parts[0].seconds: expected a number, got '1'"),
        ({"parts": [{"seconds": True}]}, "parts[0].seconds: expected a number, got True"),
        (
            {"parts": [{"seconds": float("nan")}]},
            "parts[0].seconds: expected a finite number, got nan",
        ),
        ({"parts": [{"seconds": 10**400}]}, "parts[0].seconds: expected a number, got 1000"),
        ({"parts": [{}]}, "parts[0].seconds: expected a value, got nothing"),
        (
            {"parts": [{"seconds": 1, "minutes": 2}]},
            "parts[0].minutes: expected no field of this name",
        ),
        ({"parts": [{"seconds": 1, "names": "b"}]}, "parts[0].names: expected a list, got 'b'"),
        ({"parts": [{"seconds": 1, "names": [0]}]}, "parts[0].names[0]: expected text, got 0"),
        (
            {"parts": [{"seconds": 1, "names": ["\ud800"]}]},
            "parts[0].names[0]: expected text of Unicode, got '\\ud800'",
        ),
        (
            {"parts": [{"seconds": 1, "pair": [1]}]},
            "parts[0].pair[1]: expected a value, got nothing",
        ),
        ({"parts": [3]}, "parts[0]: expected the fields of Part, got 3"),
        ({"size": 2.0}, "size: expected a whole number or 'auto', got 2.0"),
        ({"size": 2**70}, "size: expected at most 65536 or 'auto', got 1180591620717411303424"),
        ({"rates": {"x": 1.5}}, "rates.x: expected at most 1, got 1.5"),
        ({"name": b"a"}, """name: expected text, got {'no JSON': "b'a'"}"""),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_refusal_names_path_expectation_and_value(change: Any, message: str) -> None:
    with pytest.raises(PlanError) as error:
        read(Whole, {**GOOD, **change}, PlanError, "plan again")
    assert str(error.value).startswith(message)
    assert str(error.value).endswith("; plan again")
    assert "\n" not in str(error.value)


def test_what_is_no_json_at_all_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    for data in (loop, {(1, 2): 3}, None, [], 3):
        with pytest.raises(PlanError, match="expected"):
            read(Whole, data, PlanError, "")


def test_numbers_of_numpy_become_those_of_python() -> None:
    asked = Asked(np.int64(3), [2, 4])  # type: ignore[arg-type]
    assert asked == Asked(3, (2, 4))
    assert type(asked.count) is int
    method = alpa.Auto(memory_limit_bytes=np.int32(7), target_gap=np.float32(0.5))  # type: ignore[arg-type]
    assert json.dumps([method.memory_limit_bytes, method.target_gap]) == "[7, 0.5]"


# --- Methods and clusters made in Python ---


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (alpa.Auto, {"memory_limit_bytes": 0}, "at least 1, got 0"),
        (alpa.Auto, {"memory_limit_bytes": -1}, "at least 1, got -1"),
        (alpa.Auto, {"memory_limit_bytes": 16e9}, "a whole number, got 16000000000.0"),
        (alpa.Auto, {"memory_limit_bytes": float("nan")}, "a whole number, got nan"),
        (alpa.Auto, {"memory_limit_bytes": 10**5000}, "at most 72057594037927936, got"),
        (alpa.ShardParallel, {"memory_limit_bytes": "1 GB"}, "a whole number, got '1 GB'"),
        (alpa.DataParallel, {"memory_limit_bytes": True}, "a whole number, got True"),
        (alpa.Auto, {"time_limit_seconds": float("nan")}, "a finite number, got nan"),
        (alpa.Auto, {"time_limit_seconds": float("inf")}, "a finite number, got inf"),
        (alpa.Auto, {"time_limit_seconds": -1}, "at least 0, got -1"),
        (alpa.Zero2Parallel, {"time_limit_seconds": "60"}, "a number, got '60'"),
        (alpa.Zero3Parallel, {"target_gap": -0.1}, "at least 0, got -0.1"),
        (alpa.Auto, {"target_gap": 5}, "at most 1, got 5"),
        (alpa.Auto, {"mesh_shape": ()}, "a length of at least 1, got ()"),
        (alpa.Auto, {"mesh_shape": (2, 2, 2, 2)}, "a length of at most 3, got (2, 2, 2, 2)"),
        (alpa.Auto, {"mesh_shape": 4}, "a list, got 4"),
        (alpa.Auto, {"num_microbatches": 0}, "at least 1 or 'auto', got 0"),
        (alpa.Auto, {"num_microbatches": True}, "a whole number or 'auto', got True"),
        (alpa.Auto, {"num_layers": "four"}, "a whole number or 'auto', got 'four'"),
        (alpa.Auto, {"allow_local_statistics": 1}, "true or false, got 1"),
        (alpa.Auto, {"rematerialize": "yes"}, "true or false or 'auto', got 'yes'"),
        (alpa.Auto, {"num_processes": -1}, "at least 0, got -1"),
        (alpa.Auto, {"cache_dir": 7}, "text or Path, got 7"),
        (alpa.PipelineParallel, {"schedule": "zigzag"}, "or 'auto', got 'zigzag'"),
        (alpa.PipelineParallel, {"num_stages": 0}, "at least 1, got 0"),
        (alpa.ThreeDParallel, {"tensor": "2"}, "a whole number, got '2'"),
        (alpa.FollowPlacement, {"like": "step"}, "Followed, got 'step'"),
        (alpa.FixedPlan, {"plan": "plan.json"}, "an alpa_mlir.Plan, got str; read"),
    ],
)
def test_method_checks_its_numbers(kind: Any, fields: dict[str, Any], message: str) -> None:
    (name,) = fields
    with pytest.raises(ArgumentError) as error:
        kind(**fields)
    assert str(error.value).startswith(f"{kind.__name__}.{name}: expected ")
    assert message in str(error.value)


def test_mesh_shape_names_the_size() -> None:
    with pytest.raises(ArgumentError, match=r"Auto\.mesh_shape\[1\]: expected at least 1, got 0"):
        alpa.Auto(mesh_shape=(2, 0))


def test_mesh_shape_may_be_a_list() -> None:
    assert alpa.Auto(mesh_shape=[2, 4]).mesh_shape == (2, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peak_flops": {}}, "Device.peak_flops: expected a length of at least 1"),
        ({"peak_flops": {"f32": 0}}, "Device.peak_flops.f32: expected at least 1, got 0"),
        ({"memory_bytes": 80e9}, "Device.memory_bytes: expected a whole number"),
        ({"memory_bytes_per_second": float("nan")}, "expected a finite number, got nan"),
    ],
)
def test_device_checks_its_numbers(fields: dict[str, Any], message: str) -> None:
    there: dict[str, Any] = {
        "kind": "test",
        "platform": "cpu",
        "peak_flops": MappingProxyType({"f32": 1e12}),
        "memory_bytes_per_second": 1e9,
        "memory_bytes": 1 << 30,
    }
    alpa.Device(**there)
    with pytest.raises(ClusterError) as error:
        alpa.Device(**{**there, **fields})
    assert message in str(error.value)


def test_cluster_of_other_parts_is_refused() -> None:
    link = alpa.Link(1e-6, 1e9)
    with pytest.raises(AlpaError, match=r"Cluster\.device: expected Device, got 'cpu'"):
        alpa.Cluster("test", "cpu", 1, 8, link, link)  # type: ignore[arg-type]
