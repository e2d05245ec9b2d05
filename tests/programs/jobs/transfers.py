"""A job that moves random arrays between random meshes of all processes' devices, and looks at what
arrives: transfers.py NUM_TRANSFERS."""

import random
import sys
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
from alpa_mlir.processes.group import process_group
from alpa_mlir.program.placement import devices_of
from alpa_mlir.runtime.placing import put
from alpa_mlir.runtime.transfer.transport import (
    AbstractTransport,
    Lot,
    TransferServer,
    find_transport,
)
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def random_sharding(rng: random.Random, shape: tuple[int, ...]) -> NamedSharding:
    """Of an array that may lie on any of the devices, in any order."""
    grid = rng.choice([(1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (1, 3)])
    devices = rng.sample(jax.devices(), grid[0] * grid[1])
    mesh = Mesh(np.array(devices).reshape(grid), ("x", "y"))
    sizes = dict(zip(mesh.axis_names, grid, strict=True))
    axes = [axis for axis in rng.sample(["x", "y"], 2) if rng.random() < 0.8]
    spec: list[Any] = [None] * len(shape)
    for axis in axes:
        dims = [d for d, n in enumerate(shape) if spec[d] is None and n % sizes[axis] == 0]
        if dims:
            spec[rng.choice(dims)] = axis
    return NamedSharding(mesh, PartitionSpec(*spec))


def placed(value: Any, sharding: NamedSharding) -> Any:
    """None where no device of this process is on the mesh."""
    return put([value], [sharding])[0] if sharding.addressable_devices else None


def check(arrived: list[Any], values: list[Any], target: NamedSharding) -> None:
    own = [d for d in devices_of(target) if d.process_index == jax.process_index()]
    if not own:
        assert arrived == []
        return
    for array, value in zip(arrived, values, strict=True):
        assert array.sharding == target, (array.sharding, target)
        assert sorted(s.device.id for s in array.addressable_shards) == sorted(d.id for d in own)
        for shard in array.addressable_shards:
            np.testing.assert_array_equal(np.asarray(shard.data), np.asarray(value[shard.index]))


def move(transport: AbstractTransport, rng: random.Random) -> None:
    """Two arrays of one transfer."""
    shape = tuple(rng.choice([0, 1, 4, 6, 12]) for _ in range(rng.randrange(4)))
    dtype = rng.choice([np.float32, np.int32, jnp.bfloat16, np.bool_])
    source, target = random_sharding(rng, shape), random_sharding(rng, shape)
    size = int(np.prod(shape))
    values = [np.arange(k, size + k).reshape(shape).astype(dtype) for k in range(2)]
    avals = [jax.ShapeDtypeStruct(shape, dtype)] * 2
    are_copied = rng.random() < 0.5
    transfer = transport.compile(Lot(avals, [source] * 2, [target] * 2, [are_copied] * 2))
    check(transfer([placed(value, source) for value in values]), values, target)


def move_key(transport: AbstractTransport) -> None:
    first, *_, last = jax.devices()
    ends = [NamedSharding(Mesh([device], ("x",)), PartitionSpec()) for device in (first, last)]
    key = jax.random.key(7)
    transfer = transport.compile(Lot([key], [ends[0]], [ends[1]], [True]))
    arrived = transfer([placed(key, ends[0])])
    if arrived:
        assert arrived[0].dtype == key.dtype
        assert jnp.array_equal(jax.random.key_data(arrived[0]), jax.random.key_data(key))


def move_donated(transport: AbstractTransport) -> None:
    """The sender has donated the array before the receiver pulls it."""
    group = process_group()
    assert group
    source, target = (
        NamedSharding(Mesh([device], ("x",)), PartitionSpec())
        for device in (jax.devices()[0], jax.devices()[-1])
    )
    value = np.arange(1000, dtype=np.float32)
    transfer = transport.compile(Lot([value], [source], [target], [True]))
    array = placed(value, source)
    if array is None:
        group.hear("donated", 0)
        check(transfer([None]), [value], target)
        return
    transfer([array])
    jax.jit(lambda a: a + 1, donate_argnums=0)(array).block_until_ready()
    assert array.is_deleted()
    group.tell("donated", "")


alpa.initialize()
chosen = find_transport()
assert isinstance(chosen, TransferServer)
shared = random.Random(0)  # every process draws the same
for _ in range(int(sys.argv[1])):
    move(chosen, shared)
move_key(chosen)
move_donated(chosen)
print("all arrived")
