"""Times ops: many runs within one program, so that neither dispatch nor the host are measured."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.profiling.ops import MeasuredOp, Scale

_NUM_REPEATS = 7
_QUARTILE = _NUM_REPEATS // 4
_SECONDS_PER_REPEAT = 0.015
# Of a program: more than its dispatch takes.
_SECONDS_PER_PROGRAM = 0.003
_MAX_UNROLLED = 8
_MAX_RUNS = 1024


@dataclass(frozen=True)
class TimedProgram:
    """A program that runs an op so many times: `(result, operands) -> (result, first operand)`."""

    compiled: Any
    num_runs: int
    result: jax.ShapeDtypeStruct


class Timer:
    """Measures ops on all of some devices at once.

    Operands lie in caches as far as these take them, as values do that were just made.

    Args:
      can_unroll: whether several runs are written one after the other, because each turn of a loop
        costs a GPU's host more than a small op.
    """

    def __init__(self, devices: Sequence[Any], scale: Scale, can_unroll: bool) -> None:
        self._mesh = Mesh(np.array(devices, dtype=object), ("devices",))
        self._sharding = NamedSharding(self._mesh, PartitionSpec("devices"))
        self._scale = scale
        self._max_unrolled = _MAX_UNROLLED if can_unroll else 1
        self._run_seconds = 0.0
        self._run_seconds = self.seconds(_NOTHING, self.compile(_NOTHING))

    def compile(self, op: MeasuredOp) -> TimedProgram:
        """Runs of the op one after the other, as many as fill a few milliseconds."""
        wanted = round(_SECONDS_PER_PROGRAM / self._scale.guess_seconds(op))
        num_runs = max(1, min(wanted, _MAX_RUNS))
        num_unrolled = min(self._max_unrolled, num_runs)
        num_turns = -(-num_runs // num_unrolled)
        split = PartitionSpec("devices")
        function = jax.shard_map(
            lambda *arrays: _looped(op, arrays, num_turns, num_unrolled),
            mesh=self._mesh,
            in_specs=tuple(split for _ in range(1 + len(op.operands))),
            out_specs=(split, split),
            check_vma=False,
        )
        result = self._result_of(op)
        structs = [
            jax.ShapeDtypeStruct((self._mesh.size, *s.shape), s.dtype, sharding=self._sharding)
            for s in (result, *op.operands)
        ]
        with warnings.catch_warnings():  # of types that a device is slow with
            warnings.simplefilter("ignore")
            # Without donation, large operands would be copied for what is changed in them.
            compiled = jax.jit(function, donate_argnums=(0, 1)).lower(*structs).compile()
        return TimedProgram(compiled, num_turns * num_unrolled, result)

    def _result_of(self, op: MeasuredOp) -> jax.ShapeDtypeStruct:
        """Of an op that has one of its own."""
        run = op.run
        if run is None or op.is_in_place:
            return jax.ShapeDtypeStruct((1,), op.operands[0].dtype)
        split = PartitionSpec("devices")
        function = jax.shard_map(
            lambda *operands: run(*(x.reshape(x.shape[1:]) for x in operands))[None],
            mesh=self._mesh,
            in_specs=tuple(split for _ in op.operands),
            out_specs=split,
            check_vma=False,
        )
        structs = [jax.ShapeDtypeStruct((self._mesh.size, *s.shape), s.dtype) for s in op.operands]
        whole = jax.eval_shape(function, *structs)
        return jax.ShapeDtypeStruct(whole.shape[1:], whole.dtype)

    def compile_all(self, ops: Sequence[MeasuredOp], num_threads: int) -> list[TimedProgram | None]:
        """Programs in the order of the ops; None where XLA cannot compile one on these devices."""

        def attempt(op: MeasuredOp) -> TimedProgram | None:
            try:
                return self.compile(op)
            except jax.errors.JaxRuntimeError:
                return None

        with ThreadPoolExecutor(num_threads) as pool:
            return list(pool.map(attempt, ops))

    def attempt(self, op: MeasuredOp, program: TimedProgram) -> float | None:
        """`seconds`; None where the op does not run, most often for lack of memory."""
        try:
            return self.seconds(op, program)
        except jax.errors.JaxRuntimeError:
            return None

    def seconds(self, op: MeasuredOp, program: TimedProgram) -> float:
        """Of one run of the op; the lower quartile of several times many runs: whatever else the
        machine does only ever makes it slower."""
        arrays = [self._random(struct) for struct in (program.result, *op.operands)]
        self._elapsed(program, 1, arrays)  # warm
        first = self._elapsed(program, 1, arrays)
        num_calls = max(1, round(_SECONDS_PER_REPEAT / max(first, 1e-6)))
        elapsed = [self._elapsed(program, num_calls, arrays) for _ in range(_NUM_REPEATS)]
        of_one = sorted(elapsed)[_QUARTILE] / (num_calls * program.num_runs)
        # What changes the operand, and the loop.
        overhead = 0.0 if op.is_in_place else self._run_seconds
        return max(of_one - overhead, 0.2 * of_one)

    def _elapsed(self, program: TimedProgram, num_calls: int, arrays: list[jax.Array]) -> float:
        """Puts the arrays that come out in the place of those that went in."""
        start = time.perf_counter()
        for _ in range(num_calls):
            arrays[:2] = program.compiled(*arrays)
        jax.block_until_ready(arrays)
        return time.perf_counter() - start

    def _random(self, struct: jax.ShapeDtypeStruct) -> jax.Array:
        """Random numbers: some devices compute zeros faster."""
        shape = (self._mesh.size, *struct.shape)
        generator = np.random.default_rng(0)
        if jnp.issubdtype(struct.dtype, jnp.integer):  # rows of a table as long as this
            values = generator.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)
        else:
            values = np.resize(generator.standard_normal(2**20, np.float32), shape)
        return jax.device_put(values.astype(struct.dtype), self._sharding)


def _looped(
    op: MeasuredOp, arrays: tuple[jax.Array, ...], num_turns: int, num_unrolled: int
) -> tuple[jax.Array, jax.Array]:
    """On one device, whose part of the arrays comes with a dim of one in front."""
    result, first, *others = (x.reshape(x.shape[1:]) for x in arrays)

    def run(number: jax.Array, carry: Any) -> Any:
        # Another operand each time, or XLA would run the op once.
        changed = carry[0].at[(0,) * carry[0].ndim].set(number.astype(carry[0].dtype))
        if op.run is None:
            return changed, carry[1]
        result = op.run(carry[0] if op.is_in_place else changed, *others)
        if op.is_in_place:
            return result, carry[1]
        # Nor may it leave out what no later run reads.
        return jax.lax.optimization_barrier((changed, result))

    def turn(number: jax.Array, carry: Any) -> Any:
        for unrolled in range(num_unrolled):
            carry = run(number * num_unrolled + unrolled, carry)
        return carry

    first, result = jax.lax.fori_loop(0, num_turns, turn, (first, result))
    return result[None], first[None]


_NOTHING = MeasuredOp("nothing", "f32", (jax.ShapeDtypeStruct((64, 64), jnp.float32),), None, 0, 0)
