"""Times ops: many runs within one program, so that neither dispatch nor the host are measured."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.profiling.ops import MeasuredOp

_NUM_REPEATS = 5
_NUM_ROUNDS_OF_FIRST = 2  # which says how many are enough


class Timer:
    """Measures ops on all of some devices at once.

    Args:
      seconds_per_repeat: how long a program is to run, at least; longer than its dispatch.
      runs_at_once: without asking the host whether to go on, which costs a GPU microseconds.
    """

    def __init__(self, devices: Sequence[Any], seconds_per_repeat: float, runs_at_once: int) -> None:
        self._mesh = Mesh(np.array(devices, dtype=object), ("devices",))
        self._sharding = NamedSharding(self._mesh, PartitionSpec("devices"))
        self._seconds_per_repeat = seconds_per_repeat
        self._runs_at_once = runs_at_once
        nothing = MeasuredOp("nothing", "f32", (_struct((8, 8)),), _first_row, 0, 0)
        self._loop_seconds = 0.0
        self._loop_seconds = self.seconds(nothing, self.compile(nothing))

    def compile(self, op: MeasuredOp) -> Any:
        """A program that runs the op `runs_at_once` times as often as its first argument says."""

        def looped(num_rounds: jax.Array, *operands: jax.Array) -> jax.Array:
            operands = tuple(x.reshape(x.shape[1:]) for x in operands)
            result = jnp.zeros_like(op.run(*operands))

            def run(number: jax.Array, carry: Any) -> Any:
                # Another operand each time, or XLA would take the op out of the loop.
                first = carry[0].at[(0,) * carry[0].ndim].set(number.astype(carry[0].dtype))
                result = op.run(first, *operands[1:])
                if op.is_in_place:
                    return result, carry[1]
                # Nor may it leave out what no later run reads.
                return jax.lax.optimization_barrier((first, result))

            def round(_: jax.Array, carry: Any) -> Any:
                return jax.lax.fori_loop(0, self._runs_at_once, run, carry)

            first, result = jax.lax.fori_loop(0, num_rounds, round, (operands[0], result))
            return (first if op.is_in_place else result)[None]

        split = PartitionSpec("devices")
        function = jax.shard_map(
            looped,
            mesh=self._mesh,
            in_specs=(PartitionSpec(), *(split for _ in op.operands)),
            out_specs=split,
            check_vma=False,
        )
        structs = [
            jax.ShapeDtypeStruct((self._mesh.size, *s.shape), s.dtype, sharding=self._sharding)
            for s in op.operands
        ]
        with warnings.catch_warnings():  # of types that a device is slow with
            warnings.simplefilter("ignore")
            return jax.jit(function).lower(jnp.int32(0), *structs).compile()

    def compile_all(self, ops: Sequence[MeasuredOp], num_threads: int) -> list[Any]:
        """Programs in the order of the ops; None where XLA cannot compile one on these devices."""

        def attempt(op: MeasuredOp) -> Any:
            try:
                return self.compile(op)
            except jax.errors.JaxRuntimeError:
                return None

        with ThreadPoolExecutor(num_threads) as pool:
            return list(pool.map(attempt, ops))

    def attempt(self, op: MeasuredOp, program: Any) -> float | None:
        """`seconds`; None where the op does not run, most often for lack of memory."""
        try:
            return self.seconds(op, program)
        except jax.errors.JaxRuntimeError:
            return None

    def seconds(self, op: MeasuredOp, program: Any) -> float:
        """Of one run of the op; the median of several programs of many runs."""
        operands = [self._random(struct) for struct in op.operands]
        self._elapsed(program, 1, operands)  # warm
        first = self._elapsed(program, _NUM_ROUNDS_OF_FIRST, operands) / _NUM_ROUNDS_OF_FIRST
        num_rounds = max(1, round(self._seconds_per_repeat / max(first, 1e-7)))
        elapsed = [self._elapsed(program, num_rounds, operands) for _ in range(_NUM_REPEATS)]
        of_one = statistics.median(elapsed) / (num_rounds * self._runs_at_once)
        # The loop itself, and the element that it changes.
        return max(of_one - self._loop_seconds, 0.1 * of_one)

    def _elapsed(self, program: Any, num_rounds: int, operands: Sequence[jax.Array]) -> float:
        count = jax.device_put(
            jnp.int32(num_rounds), NamedSharding(self._mesh, PartitionSpec())
        ).block_until_ready()
        start = time.perf_counter()
        program(count, *operands).block_until_ready()
        return time.perf_counter() - start

    def _random(self, struct: jax.ShapeDtypeStruct) -> jax.Array:
        """Random numbers: some devices compute zeros faster."""
        shape = (self._mesh.size, *struct.shape)
        key = jax.random.key(0)
        if jnp.issubdtype(struct.dtype, jnp.integer):  # rows of a table as long as this
            make = lambda: jax.random.randint(key, shape, 0, shape[1], struct.dtype)  # noqa: E731
        else:
            make = lambda: jax.random.normal(key, shape, struct.dtype)  # noqa: E731
        return jax.jit(make, out_shardings=self._sharding)()


def _struct(shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _first_row(x: jax.Array) -> jax.Array:
    return x[0]
