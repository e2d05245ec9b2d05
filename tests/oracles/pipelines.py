"""Hand-made pipelines of a small MLP, and the same steps on one device.

The step has what makes pipelines hard: a prologue (the sum of the examples' weights), clipping by
global norm in a second round of the update, a parameter that the first and the last stage share, a
step count all updates read, a PRNG key, an empty array, and a result with one value per example.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from alpa_mlir._native import ScheduleKind
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.ir.functions import BatchDim
from alpa_mlir.ir.spec import Spec
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import (
    ArgumentResult,
    ExamplesResult,
    PipelineArgument,
    PipelineProgram,
    StageDevices,
    ValueResult,
)
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.schedule.schedule import Phase, TaskKind
from alpa_mlir.schedule.values import PipelineValues, Signature

HIDDEN_SIZE = 8
BATCH_SIZE = 16
PROLOGUE, FORWARD, BACKWARD, UPDATE = Phase


@dataclass(frozen=True)
class TaskFunction:
    """A task as a plain JAX function of named arrays."""

    fn: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def adding(kind: TaskKind, task: TaskFunction) -> TaskFunction:
    """The task of a microbatch, which takes the sums that it has parts of last, and adds these."""
    sums = tuple(v for v in task.outputs if v in ("loss", "tied") or v.startswith("g"))
    if not kind.phase.runs_per_microbatch or not sums:
        return task
    num_inputs, places = len(task.inputs), [task.outputs.index(value) for value in sums]

    def fn(*args: Any) -> tuple[Any, ...]:
        results = list(task.fn(*args[:num_inputs]))
        for place, total in zip(places, args[num_inputs:], strict=True):
            results[place] += total
        return tuple(results)

    return TaskFunction(fn, (*task.inputs, *sums), task.outputs)


def lower_task(
    name: str, task: TaskFunction, avals: dict[str, Any], specs: Callable[[str], Spec]
) -> AnnotatedProgram:
    """As the compiler would leave it. Avals of the outputs are added to `avals`."""
    text, in_avals, out_avals = _lower(name, task.fn, tuple(avals[v] for v in task.inputs))
    avals.update(zip(task.outputs, out_avals, strict=True))
    return AnnotatedProgram(
        name=name,
        text=text,
        in_avals=in_avals,
        out_avals=out_avals,
        in_specs=tuple(specs(value)[: avals[value].ndim] for value in task.inputs),
        out_specs=tuple(specs(value)[: avals[value].ndim] for value in task.outputs),
        in_tree=jax.tree.structure((0,) * len(task.inputs)),
        out_tree=jax.tree.structure((0,) * len(task.outputs)),
        donate_argnums=(),
    )


@functools.cache
def _lower(name: str, fn: Callable[..., Any], structs: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    traced = jax.jit(fn, keep_unused=True).trace(*structs)
    avals = traced.jaxpr.in_avals, traced.jaxpr.out_avals
    return str(traced.lower().compiler_ir()), *map(tuple, avals)


def layer(w: Any, b: Any, h: Any) -> Any:
    return jnp.tanh(h @ w + b)


def embed(w: Any, b: Any, x: Any, index: Any) -> Any:
    return layer(w, b, x * (1 + 0.1 * index))


def head(w: Any, b: Any, tied: Any, h: Any, y: Any, weights: Any, total: Any) -> tuple[Any, Any]:
    """The part of the loss that a microbatch has, and the errors of its examples."""
    errors = jnp.sum((layer(w, b, h) @ tied.T - y) ** 2, axis=1)
    return jnp.sum(errors * weights) / total, errors


def descend(w: Any, gradient: Any, norm: Any, count: Any) -> Any:
    return w - 0.1 / (1 + count) * gradient / jnp.maximum(1.0, jnp.sqrt(norm) / 0.5)


def square(*gradients: Any) -> Any:
    return sum(jnp.sum(g**2) for g in gradients)


@functools.cache
def tasks_of(num_stages: int) -> dict[TaskKind, TaskFunction]:
    last = num_stages - 1
    stages = range(num_stages)
    norms = tuple(f"norm{s}" for s in stages)
    tasks = {
        TaskKind(last, PROLOGUE): TaskFunction(
            lambda weights: (jnp.sum(weights),), ("weights",), ("total",)
        ),
        TaskKind(0, FORWARD): TaskFunction(
            lambda *args: (embed(*args),), ("w0", "b0", "x", "index"), ("h0",)
        ),
        TaskKind(0, BACKWARD): TaskFunction(
            lambda w, b, x, index, d: jax.vjp(lambda w, b: embed(w, b, x, index), w, b)[1](d),
            ("w0", "b0", "x", "index", "d0"),
            ("gw0", "gb0"),
        ),
        TaskKind(0, UPDATE, 0): TaskFunction(
            lambda gw, gb, tied: (square(gw + tied, gb),), ("gw0", "gb0", "tied"), ("norm0",)
        ),
        TaskKind(0, UPDATE, 1): TaskFunction(
            lambda w, b, gw, gb, tied, count, key, empty, *norms: (
                descend(w, gw + tied, sum(norms), count),
                descend(b, gb, sum(norms), count),
                count + 1,
                jax.random.split(key, 1)[0],
                empty * 2,
            ),
            ("w0", "b0", "gw0", "gb0", "tied", "count", "key", "empty", *norms),
            ("new_w0", "new_b0", "new_count", "new_key", "new_empty"),
        ),
    }
    for s in stages[1:last]:
        tasks[TaskKind(s, FORWARD)] = TaskFunction(
            lambda *args: (layer(*args),), (f"w{s}", f"b{s}", f"h{s - 1}"), (f"h{s}",)
        )
        tasks[TaskKind(s, BACKWARD)] = TaskFunction(
            lambda *args: jax.vjp(layer, *args[:3])[1](args[3]),
            (f"w{s}", f"b{s}", f"h{s - 1}", f"d{s}"),
            (f"gw{s}", f"gb{s}", f"d{s - 1}"),
        )
    head_inputs = (f"w{last}", f"b{last}", "w0", f"h{last - 1}", "y", "weights", "total")
    tasks[TaskKind(last, FORWARD)] = TaskFunction(head, head_inputs, ("loss", "errors"))
    tasks[TaskKind(last, BACKWARD)] = TaskFunction(
        lambda *args: jax.grad(lambda *a: head(*a, *args[4:])[0], argnums=(0, 1, 2, 3))(*args[:4]),
        head_inputs,
        (f"gw{last}", f"gb{last}", "tied", f"d{last - 1}"),
    )
    for s in stages[1:]:
        tasks[TaskKind(s, UPDATE, 0)] = TaskFunction(
            lambda *args: (square(*args),), (f"gw{s}", f"gb{s}"), (f"norm{s}",)
        )
        tasks[TaskKind(s, UPDATE, 1)] = TaskFunction(
            lambda w, b, gw, gb, count, *norms: (
                descend(w, gw, sum(norms), count),
                descend(b, gb, sum(norms), count),
            ),
            (f"w{s}", f"b{s}", f"gw{s}", f"gb{s}", "count", *norms),
            (f"new_w{s}", f"new_b{s}"),
        )
    return {kind: adding(kind, task) for kind, task in tasks.items()}


def initial_state(num_stages: int) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(0), num_stages)
    shape = (HIDDEN_SIZE, HIDDEN_SIZE)
    state = {f"w{s}": jax.random.normal(keys[s], shape) / 2 for s in range(num_stages)}
    state |= {f"b{s}": jnp.full((HIDDEN_SIZE,), 0.1 * s) for s in range(num_stages)}
    return state | {
        "count": jnp.zeros((), jnp.int32),
        "empty": jnp.zeros((0, 4)),
        "key": jax.random.key(7),
    }


def make_batch(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (BATCH_SIZE, HIDDEN_SIZE)
    return {
        "x": rng.normal(size=shape).astype(np.float32),
        "y": rng.normal(size=shape).astype(np.float32),
        "weights": rng.uniform(0.5, 2, BATCH_SIZE).astype(np.float32),
    }


@functools.cache
def reference_step(num_stages: int, num_microbatches: int) -> Callable[..., Any]:
    """The step on one device: (state, batch) to (state, loss, errors, scale)."""
    size = BATCH_SIZE // num_microbatches
    last = num_stages - 1

    def loss_of(params: dict[str, Any], batch: Any) -> Any:
        total, losses, errors = jnp.sum(batch["weights"]), [], []
        for k in range(num_microbatches):
            x, y, weights = (
                batch[name][k * size : (k + 1) * size] for name in ("x", "y", "weights")
            )
            h = embed(params["w0"], params["b0"], x, k)
            for s in range(1, last):
                h = layer(params[f"w{s}"], params[f"b{s}"], h)
            loss, error = head(
                params[f"w{last}"], params[f"b{last}"], params["w0"], h, y, weights, total
            )
            losses.append(loss)
            errors.append(error)
        return sum(losses), jnp.concatenate(errors)

    @jax.jit
    def step(state: dict[str, Any], batch: Any, scale: Any) -> Any:
        params = {name: state[name] for name in state if name[0] in "wb"}
        (loss, errors), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, batch)
        norm = square(*gradients.values())
        new = {n: descend(params[n], gradients[n], norm, state["count"]) for n in params}
        new |= {
            "count": state["count"] + 1,
            "empty": state["empty"] * 2,
            "key": jax.random.split(state["key"], 1)[0],
        }
        return new, loss, errors, scale

    return step


@dataclass(frozen=True)
class Placement:
    """A mesh and where on the cluster; `kinds` of values are split as the specs say."""

    shape: tuple[int, ...]
    first_device: int
    weight: Spec = ((), ())
    activation: Spec = ((), ())

    def spec(self, value: str) -> Spec:
        kind = value.removeprefix("new_").removeprefix("g")[0]
        if (kind == "w" and value != "weights") or value == "tied":
            return self.weight
        if kind in "hdxy" and value != "d":
            return self.activation
        if value in ("weights", "errors"):
            return self.activation[:1]
        return ((), ())


def make_pipeline(
    placements: tuple[Placement, ...],
    schedule_name: str,
    num_microbatches: int,
    is_donated: bool = True,
) -> PipelineProgram[AnnotatedProgram]:
    """A step of (state, batch, scale); `scale` is read by nobody and returned."""
    num_stages = len(placements)
    state, batch = initial_state(num_stages), make_batch(0)
    avals = {name: _struct(array) for name, array in state.items()}
    whole = {name: _struct(array) for name, array in batch.items()}
    owner = {n: int(n[1:]) if n[0] in "wb" else 0 for n in state}
    values = _values(num_stages, owner, frozenset(whole))
    names = sorted(state)
    return PipelineProgram(
        name="step",
        schedule=make_schedule(
            getattr(ScheduleKind, schedule_name),
            num_stages,
            num_microbatches,
            prologue_stage=num_stages - 1,
            num_update_rounds=2,
        ),
        values=values,
        programs=_lower_tasks(placements, avals, whole, num_microbatches),
        combiners=dict.fromkeys(values.accumulated, "add"),
        stages=tuple(
            StageDevices(LogicalMesh.of_shape(p.shape), p.first_device) for p in placements
        ),
        arguments=(
            *(PipelineArgument(n, avals[n], is_donated=is_donated, owner=owner[n]) for n in names),
            *(
                PipelineArgument(n, whole[n], batch_dim=BatchDim(0, whole[n].shape[0]))
                for n in sorted(whole)
            ),
            PipelineArgument("scale", jax.ShapeDtypeStruct((), jnp.float32)),
        ),
        results=(
            *(ValueResult(f"new_{n}") for n in names),
            ValueResult("loss"),
            ExamplesResult("errors", BatchDim(0, BATCH_SIZE)),
            ArgumentResult(len(names) + len(whole)),
        ),
        in_tree=jax.tree.structure((state, batch, np.float32(1))),
        out_tree=jax.tree.structure((state, 0, 0, 0)),
    )


def _struct(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _lower_tasks(
    placements: tuple[Placement, ...],
    state: dict[str, jax.ShapeDtypeStruct],
    batch: dict[str, jax.ShapeDtypeStruct],
    num_microbatches: int,
) -> dict[TaskKind, AnnotatedProgram]:
    """In an order in which the avals of what other tasks write are known."""
    size = BATCH_SIZE // num_microbatches
    avals: dict[str, Any] = dict(state)
    for name, aval in batch.items():
        avals[name] = jax.ShapeDtypeStruct((size, *aval.shape[1:]), aval.dtype)
    avals["index"] = jax.ShapeDtypeStruct((), jnp.int32)
    avals["loss"] = jax.ShapeDtypeStruct((), jnp.float32)
    avals |= {f"g{name}": aval for name, aval in state.items()} | {"tied": state["w0"]}
    order = {PROLOGUE: 0, FORWARD: 1, BACKWARD: 2, UPDATE: 3}
    tasks = tasks_of(len(placements))
    kinds = sorted(
        tasks,
        key=lambda k: (order[k.phase], k.round, -k.stage if k.phase == BACKWARD else k.stage),
    )
    programs: dict[TaskKind, AnnotatedProgram] = {}
    for kind in kinds:
        known = avals | batch if kind.phase == PROLOGUE else avals
        programs[kind] = lower_task(
            f"task_{kind}".replace(".", "_"), tasks[kind], known, placements[kind.stage].spec
        )
        avals.update({n: known[n] for n in tasks[kind].outputs})
    return programs


def _values(num_stages: int, owner: dict[str, int], batch: frozenset[str]) -> PipelineValues:
    last = frozenset([num_stages - 1])
    return PipelineValues(
        {k: Signature(task.inputs, task.outputs) for k, task in tasks_of(num_stages).items()},
        state=frozenset(owner),
        batch=batch | {"index"},
        accumulated=frozenset(["loss", "tied", *(f"g{n}" for n in owner if n[0] in "wb")]),
        kept={f"new_{n}": frozenset([stage]) for n, stage in owner.items()}
        | {"loss": last, "errors": last},
    )
