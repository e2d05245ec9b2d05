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
    """A program that runs an op so many times.

    `(results, operands) -> (results, first operand)`, flat: as many results as runs are written one
    after the other.
    """

    compiled: Any
    num_runs: int
    results: tuple[jax.ShapeDtypeStruct, ...]


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
        results = self._results_of(op, num_unrolled)
        split = PartitionSpec("devices")
        function = jax.shard_map(
            lambda *arrays: _looped(op, arrays, num_turns, num_unrolled),
            mesh=self._mesh,
            in_specs=tuple(split for _ in range(len(results) + len(op.operands))),
            out_specs=tuple(split for _ in range(len(results) + 1)),
            check_vma=False,
        )
        structs = [
            jax.ShapeDtypeStruct((self._mesh.size, *s.shape), s.dtype, sharding=self._sharding)
            for s in (*results, *op.operands)
        ]
        donated = tuple(range(len(results) + 1))
        with warnings.catch_warnings():  # of types that a device is slow with
            warnings.simplefilter("ignore")
            # Without donation, large operands would be copied for what is changed in them.
            compiled = jax.jit(function, donate_argnums=donated).lower(*structs).compile()
        return TimedProgram(compiled, num_turns * num_unrolled, results)

    def _results_of(self, op: MeasuredOp, count: int) -> tuple[jax.ShapeDtypeStruct, ...]:
        """One per run; of an op that has none of its own, a single number."""
        run = op.run
        if run is None or op.is_in_place:
            return (jax.ShapeDtypeStruct((1,), op.operands[0].dtype),)
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
        return (jax.ShapeDtypeStruct(whole.shape[1:], whole.dtype),) * count

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
        arrays = [self._random(struct) for struct in (*program.results, *op.operands)]
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
            arrays[: len(program.results) + 1] = program.compiled(*arrays)
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
) -> tuple[jax.Array, ...]:
    """On one device, whose part of the arrays comes with a dim of one in front.

    XLA runs an op once where it sees it twice, and not at all where nobody reads what it makes. So
    every run reads an operand that the result of the run before has changed, and every result of a
    turn is one of the loop: whole, because the next turn could read all of it.
    """
    own = [x.reshape(x.shape[1:]) for x in arrays]
    count = len(arrays) - len(op.operands)
    others = own[count + 1 :]

    def turn(number: jax.Array, carry: tuple[list[jax.Array], jax.Array]) -> Any:
        results, first = list(carry[0]), carry[1]
        for unrolled in range(num_unrolled):
            latest = unrolled % count
            first = _changed(first, results[latest - 1], number * num_unrolled + unrolled)
            if op.run is not None and op.is_in_place:
                first = op.run(first, *others)
            elif op.run is not None:
                results[latest] = op.run(first, *others)
        return results, first

    results, first = jax.lax.fori_loop(0, num_turns, turn, (own[:count], own[count]))
    return tuple(x[None] for x in (*results, first))


def _changed(operand: jax.Array, before: jax.Array, number: jax.Array) -> jax.Array:
    """The operand with another first element, which depends on `before` and on the number.

    Behind the barrier XLA cannot tell one element of `before` from all of it, and compute it alone.
    """
    element = jax.lax.optimization_barrier(before)[(0,) * before.ndim]
    value = jnp.clip(element, -1, 1) + number
    return operand.at[(0,) * operand.ndim].set(value.astype(operand.dtype))


_NOTHING = MeasuredOp("nothing", "f32", (jax.ShapeDtypeStruct((64, 64), jnp.float32),), None, 0, 0)
