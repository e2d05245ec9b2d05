"""What a sharding problem cannot hold is refused before it is built, with what to do."""

import pytest
from alpa_mlir._native import DeviceSpec, Module, ShardingModel
from oracles.meshes import one_node_mesh


def sines(num_ops: int, shape: str) -> Module:
    lines = [f'%0 = "stablehlo.sine"(%x) : (tensor<{shape}>) -> tensor<{shape}>']
    lines += [
        f'%{i} = "stablehlo.sine"(%{i - 1}) : (tensor<{shape}>) -> tensor<{shape}>'
        for i in range(1, num_ops)
    ]
    body = "\n".join(lines)
    return Module.parse(
        f"func.func public @main(%x: tensor<{shape}>) -> tensor<{shape}> {{\n{body}\n"
        f"return %{num_ops - 1} : tensor<{shape}>\n}}"
    )


def model(module: Module, sizes: list[int], latency: float, bandwidth: float) -> ShardingModel:
    mesh = one_node_mesh(sizes, latency, bandwidth)
    return ShardingModel(module, mesh, DeviceSpec({"f32": 1e14}, 1e12, 0, True))


@pytest.mark.parametrize(
    ("latency", "bandwidth"), [(1e-5, 1e-300), (1e-5, 1e-6), (1e300, 1e11), (1e7, 1e11)]
)
def test_costs_beyond_the_problem_are_refused(latency: float, bandwidth: float) -> None:
    with pytest.raises(RuntimeError, match=r"less than 1e\+06 s, got up to .*; check latencies"):
        model(sines(2, "64x64xf32"), [2, 2], latency, bandwidth)


def test_slow_op_is_refused_by_name() -> None:
    module = sines(1, "64x64xf32")
    mesh = one_node_mesh([2], 1e-5, 1e11)
    with pytest.raises(RuntimeError, match=r"every cost below 1e\+06 s, got .* 'replicated'"):
        ShardingModel(module, mesh, DeviceSpec({"f32": 1e-5}, 1e12, 0, True))


@pytest.mark.parametrize(
    ("latency", "bandwidth"), [(float("nan"), 1e11), (float("inf"), 1e11), (0, float("nan"))]
)
def test_rates_that_are_no_numbers_are_refused(latency: float, bandwidth: float) -> None:
    with pytest.raises(ValueError, match="both finite, within nodes"):
        model(sines(1, "64xf32"), [2], latency, bandwidth)


@pytest.mark.parametrize("sizes", [[2**40, 2**40], [2**20 + 1]])
def test_mesh_of_too_many_devices_is_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="at most 1048576 devices"):
        one_node_mesh(sizes)


def test_tables_of_gigabytes_are_refused() -> None:
    shape = "x".join(["8"] * 10 + ["f32"])
    with pytest.raises(
        RuntimeError, match=r"tables of at most 4.0 GiB, got .* GiB for 401 ops.*axes"
    ):
        model(sines(400, shape), [2, 2, 2], 1e-5, 1e11)


def test_sizes_that_are_not_known_are_refused() -> None:
    """Prices of them would be of no size, or of less than none."""
    module = Module.parse(
        """
        func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
          %0 = "stablehlo.sine"(%x) : (tensor<4xf32>) -> tensor<?xf32>
          %1 = "stablehlo.sine"(%0) : (tensor<?xf32>) -> tensor<4xf32>
          return %1 : tensor<4xf32>
        }
        """
    )
    with pytest.raises(RuntimeError, match=r"sizes are known, got .tensor<\?xf32>.; export"):
        model(module, [2], 1e-6, 1e11)


def test_rules_that_keep_what_they_sum_over_are_none() -> None:
    rule = "([k, i], [k, j])->([i, j]) {i=4, j=2, k=8} reduction={i}"
    module = Module.parse(
        f"""
        func.func public @main(%x: tensor<8x4xf32>, %y: tensor<8x2xf32>) -> tensor<4x2xf32> {{
          %0 = "stablehlo.dot_general"(%x, %y) <{{dot_dimension_numbers =
            #stablehlo.dot<lhs_contracting_dimensions = [0], rhs_contracting_dimensions = [0]>}}>
            {{sdy.sharding_rule = #sdy.op_sharding_rule<{rule}>}}
            : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
          return %0 : tensor<4x2xf32>
        }}
        """
    )
    sharded = model(module, [2], 1e-6, 1e11)
    assert sharded.strategy_names(sharded.num_vertices - 1) == ["replicated"]
