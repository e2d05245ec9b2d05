"""What Alpa's own tests expect of its shardings, found in the HLO that XLA runs here.

The expectations are those of its auto-sharding tests: an MLP of L = 6 layers with biases and Adam,
and a stack of convolutions and batch norms, on four devices. XLA's CPU compiler spells a
reduce-scatter as an all-reduce and a slice, and does not combine all-gathers, so those are judged
by their bytes; the same plan for GPUs says reduce-scatter.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir.ir.spec import Spec
from alpa_mlir.models import wide_resnet
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.options import Method
from alpa_mlir.parallelize import AnyExecutable, ParallelFunction
from alpa_mlir.xla.collectives import HloCollective, bytes_by_kind
from jax.sharding import Mesh, NamedSharding, PartitionSpec

NUM_LAYERS = 6
FLOAT = 4  # bytes
AXIS_0, AXIS_1 = ((0, 2), (1, 3)), ((0, 1), (2, 3))  # device groups of a 2x2 mesh


def cluster(has_reduce_scatter: bool = False) -> alpa.Cluster:
    """Four devices whose products cost much more than communication, and all else much less.

    Alpa's objective counts communication alone and forbids replicated products.
    """
    local = alpa.Cluster.local()
    device = replace(
        local.device,
        peak_flops={"f32": 2e11},
        memory_bytes_per_second=1e15,
        has_reduce_scatter=has_reduce_scatter,
    )
    return replace(local, device=device, devices_per_node=4, intra_node=alpa.Link(1e-7, 1e10))


@cache
def mlp(
    method: Method, batch_size: int, hidden_size: int, has_reduce_scatter: bool = False
) -> tuple[ParallelFunction, Workload]:
    """The step, parallelized; it returns the state alone, as the loss would be one more sum."""
    setup = workload("mlp", "alpa-test", batch_size, optax.adam(1e-2), hidden_size=hidden_size)

    def step(state: Any, batch: Any) -> Any:
        return setup.train_step(state, batch)[0]

    return alpa.parallelize(step, method, cluster(has_reduce_scatter)), setup


def compile_mlp(method: Method, batch_size: int, hidden_size: int) -> AnyExecutable:
    step, setup = mlp(method, batch_size, hidden_size)
    executable = step.compile(*setup.abstract_arguments())
    assert executable.rematerializations == []
    return executable


def specs(executable: AnyExecutable, part: str) -> dict[str, Spec]:
    return {a.name: a.spec for a in executable.plan.arguments if part in a.name}


def kernel_specs(executable: AnyExecutable) -> list[Spec]:
    return [spec for name, spec in specs(executable, ".params").items() if "kernel" in name]


def is_replicated(spec: Spec) -> bool:
    return not any(spec)


def params_bytes(hidden_size: int) -> int:
    return NUM_LAYERS * (hidden_size**2 + hidden_size) * FLOAT


@pytest.mark.parametrize(
    "method", [alpa.ShardParallel(mesh_shape=(4, 1)), alpa.DataParallel(mesh_shape=(4, 1))]
)
def test_large_batch_is_data_parallel_with_one_all_reduce(method: Method) -> None:
    executable = compile_mlp(method, batch_size=256, hidden_size=32)
    (collective,) = executable.collectives()
    assert (collective.kind, collective.bytes) == ("all-reduce", params_bytes(32))
    assert all(map(is_replicated, specs(executable, "state").values()))
    assert set(specs(executable, "batch").values()) == {(("x",), ())}


def test_wide_layers_alternate_column_and_row_parallel() -> None:
    executable = compile_mlp(alpa.ShardParallel(mesh_shape=(1, 4)), batch_size=32, hidden_size=256)
    collectives = executable.collectives()
    assert [c.kind for c in collectives] == ["all-reduce"] * (NUM_LAYERS - 1)
    assert {c.bytes for c in collectives} == {32 * 256 * FLOAT}
    column, row = ((), ("y",)), (("y",), ())
    assert kernel_specs(executable) == [column, row] * (NUM_LAYERS // 2)


def alpa_formula_2x2(batch_size: int, hidden_size: int) -> tuple[int, int, int]:
    """Bytes all-reduced with data parallelism on axis 0 and tensor parallelism on axis 1.

    L·(AR(4H²/m1, axis 0) + AR(4H, axis 0)) + (L-1)·AR(4BH/m0, axis 1): gradients of kernels, of
    biases, and activations with their gradients.
    """
    kernels = NUM_LAYERS * hidden_size**2 // 2 * FLOAT
    biases = NUM_LAYERS * hidden_size * FLOAT
    return kernels, biases, (NUM_LAYERS - 1) * batch_size // 2 * hidden_size * FLOAT


def sent_bytes(collective: HloCollective) -> float:
    """What one device sends in a ring."""
    passes = 2 if collective.kind == "all-reduce" else 1
    n = collective.group_size
    return passes * (n - 1) / n * collective.bytes * collective.count


def test_2d_mesh_with_alpas_layout_communicates_as_its_formula() -> None:
    batch_size, hidden_size = 512, 256
    step, setup = mlp(alpa.ShardParallel(), batch_size, hidden_size)
    state, batch = setup.abstract_arguments()
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "tensor"))

    def place(struct: jax.ShapeDtypeStruct, *spec: str | None) -> Any:
        sharding = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=sharding)

    column, row = (None, "tensor"), ("tensor", None)
    params = [
        layer | {"kernel": place(layer["kernel"], *(row if i % 2 else column))}
        for i, layer in enumerate(state.params)
    ]
    batch = jax.tree.map(lambda leaf: place(leaf, "data"), batch)
    collectives = step.compile(state._replace(params=params), batch).collectives()
    kernels, biases, activations = alpa_formula_2x2(batch_size, hidden_size)
    all_reduces = [c for c in collectives if c.kind == "all-reduce"]
    along_1 = [c.bytes for c in all_reduces if c.groups == AXIS_1]
    assert along_1 == [activations // (NUM_LAYERS - 1)] * (NUM_LAYERS - 1)
    # Some biases are summed in halves and gathered; what is sent is the same.
    along_0 = sum(c.bytes for c in all_reduces if c.groups == AXIS_0)
    assert kernels < along_0 <= kernels + biases
    assert sum(map(sent_bytes, collectives)) <= kernels + biases + activations


@pytest.mark.parametrize("batch_size", [256, 512])
def test_2d_mesh_is_used_better_than_by_alpas_formula(batch_size: int) -> None:
    # A layer may be split along both axes, and activations may change sides by all-to-all.
    method = alpa.ShardParallel(mesh_shape=(2, 2))
    executable = compile_mlp(method, batch_size, hidden_size=256)
    sent = sum(map(sent_bytes, executable.collectives()))
    assert sent < sum(alpa_formula_2x2(batch_size, 256))


def test_zero2_reduces_gradients_to_shards_and_gathers_parameters() -> None:
    executable = compile_mlp(alpa.Zero2Parallel(mesh_shape=(4,)), batch_size=256, hidden_size=32)
    # On CPU: an all-reduce, then a slice, instead of a reduce-scatter.
    assert bytes_by_kind(executable.collectives()) == {
        "all-reduce": params_bytes(32),
        "all-gather": params_bytes(32),
    }
    assert all(map(is_replicated, specs(executable, ".params").values()))
    moments = specs(executable, ".mu") | specs(executable, ".nu")
    assert len(moments) == 4 * NUM_LAYERS
    assert not any(map(is_replicated, moments.values()))


def test_zero3_keeps_all_weights_in_shards() -> None:
    executable = compile_mlp(alpa.Zero3Parallel(mesh_shape=(4,)), batch_size=256, hidden_size=32)
    traffic = bytes_by_kind(executable.collectives())
    assert set(traffic) == {"all-reduce", "all-gather"}
    assert traffic["all-reduce"] == params_bytes(32)
    # Once for the forward pass, once for the backward pass unless XLA keeps what it has gathered.
    assert params_bytes(32) <= traffic["all-gather"] <= 2 * params_bytes(32)
    state = {n: s for n, s in specs(executable, "state").items() if not n.endswith(".count")}
    assert len(state) == 6 * NUM_LAYERS
    assert not any(map(is_replicated, state.values()))


@pytest.mark.parametrize("method", [alpa.Zero2Parallel, alpa.Zero3Parallel])
def test_zero_on_gpus_reduces_and_scatters(method: type[Method]) -> None:
    step, setup = mlp(method(mesh_shape=(4,)), 256, 32, has_reduce_scatter=True)
    traffic = step.plan(*setup.abstract_arguments()).collective_bytes()
    assert set(traffic) == {"reduce-scatter", "all-gather"}
    assert traffic["reduce-scatter"] == params_bytes(32)


def test_batch_norm_costs_two_all_reduces_each_under_data_parallelism() -> None:
    num_norms, channels = 3, 8
    optimizer = optax.sgd(0.1, momentum=0.9)
    running = {"mean": jnp.zeros(channels), "variance": jnp.ones(channels)}

    def loss(params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        statistics = []
        for layer in params:
            x = wide_resnet.convolve(layer["kernel"], x)
            x, moved = wide_resnet.batch_norm(layer["norm"], running, x)
            statistics.append(moved)
            x = jax.nn.relu(x)
        return jnp.mean(jnp.square(x)), statistics

    def step(state: Any, images: jax.Array) -> Any:
        params, optimizer_state = state
        gradients, statistics = jax.grad(loss, has_aux=True)(params, images)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        return (optax.apply_updates(params, updates), optimizer_state), statistics

    norm = {"scale": jnp.ones(channels), "bias": jnp.zeros(channels)}
    layer = {"kernel": jnp.ones((3, 3, channels, channels)), "norm": norm}
    params = [layer] * num_norms
    state, images = (params, optimizer.init(params)), jnp.ones((16, 8, 8, channels))
    data_parallel = alpa.parallelize(step, alpa.DataParallel(mesh_shape=(4,)), cluster())
    collectives = data_parallel.compile(state, images).collectives()
    assert [c.kind for c in collectives] == ["all-reduce"] * (1 + 2 * num_norms)
