"""Does XLA reshard as predicted? A tensor goes through the steps of a route, each a constraint."""

import itertools
import random
import re

import jax
import jax.numpy as jnp
import numpy as np
from alpa_mlir._native import DeviceSpec, ReshardTable, all_shardings
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.ir.spec import Spec, named_sharding
from alpa_mlir.xla.collectives import bytes_by_kind, parse_collectives
from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log
from jax.lax import with_sharding_constraint

from oracles.meshes import one_node_mesh


class ReshardTrial:
    """Compiles reshards of a float32 tensor on one mesh. Shardings are text such as "{x,y},{}"."""

    def __init__(self, mesh_shape: tuple[int, ...], shape: tuple[int, ...]) -> None:
        mesh = LogicalMesh.of_shape(mesh_shape)
        self.native = one_node_mesh(mesh_shape)
        self.table = ReshardTable(
            list(shape), 4, self.native, DeviceSpec({"f32": 1e12}, 1e11, 0, False)
        )
        self.mesh = mesh.over(jax.devices()[: mesh.num_devices])
        self.shape = shape
        self.shardings = all_shardings(list(shape), self.native)

    def pairs(self, seed: int, num_pairs: int) -> list[tuple[str, str]]:
        """Pairs of different shardings: all of them, or a sample."""
        pairs = list(itertools.permutations(self.shardings, 2))
        return pairs if len(pairs) <= num_pairs else random.Random(seed).sample(pairs, num_pairs)

    def faults(self, source: str, target: str) -> list[str]:
        """What went otherwise than predicted on the way from `source` to `target`."""
        steps = self.table.route(self.native, source, target, len(self.shape))
        predicted: dict[str, int] = {}
        for _, kind, size in steps:
            if size:
                predicted[kind] = predicted.get(kind, 0) + size

        def run(x: jax.Array) -> jax.Array:
            for reached, _, _ in steps:
                x = with_sharding_constraint(x, named_sharding(self.mesh, spec(reached)))
            return x

        jitted = jax.jit(
            run,
            in_shardings=named_sharding(self.mesh, spec(source)),
            out_shardings=named_sharding(self.mesh, spec(target)),
        )
        lowered = jitted.lower(jax.ShapeDtypeStruct(self.shape, jnp.float32))
        compiled, log = with_captured_log(lowered.compile)
        actual = bytes_by_kind(parse_collectives(compiled.as_text() or ""))
        x = np.arange(np.prod(self.shape), dtype=np.float32).reshape(self.shape)
        result = compiled(jax.device_put(x, named_sharding(self.mesh, spec(source))))
        faults = [f"replicated: {text}" for text in rematerializations(log)]
        if dict(sorted(predicted.items())) != dict(sorted(actual.items())):
            faults.append(f"predicted {predicted}, got {actual} on {steps}")
        if not (np.asarray(result) == x).all():
            faults.append("wrong numbers")
        return faults


def spec(sharding: str) -> Spec:
    """ "{x,y},{}" as (("x", "y"), ())."""
    return tuple(
        tuple(axis for axis in dim.split(",") if axis)
        for dim in re.findall(r"\{([^}]*)\}", sharding)
    )
