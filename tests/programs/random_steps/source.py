"""A random step as Python source that says everything about it and runs where it is pasted."""

from dataclasses import dataclass
from typing import Any

from programs.random_steps import layers, loops, losses, movements, results, updates, views
from programs.random_steps.registry import CONSTRUCTS
from programs.random_steps.spec import Piece, RandomStep
from programs.random_steps.writer import DEFINITIONS, Writer

# Imported for what they register.
FAMILIES = (layers, loops, losses, movements, results, updates, views)

HEAD = '''"""{description}"""
import jax, jax.numpy as jnp, numpy as np
from jax import lax

B, T, F, R = {batch}, {time}, {features}, {rows}  # examples, time steps, features, rows
LOW = jnp.{low}
{definitions}

def init():
{init}

def make_batch(i):
{batch_function}

def prepare(state, batch):  # what does not depend on parameters
    rows = {{name: batch[name] for name in ({names},)}}
    whole = {{{others}}}
{prepared}    return rows, whole


def forward(p, state, rows, whole):
    p = jax.tree.map(lambda w: w.astype(LOW) if w.dtype == jnp.float32 else w, p)
    h = rows["x"].astype(LOW)
{model}    return loss, {{{aux}}}

'''
GRADIENTS = """
def gradients(state, rows, whole):
    return jax.value_and_grad(forward, has_aux=True)(state["p"], state, rows, whole)

"""
STEP = """
def step(state, batch):
    p = state["p"]
    rows, whole = prepare(state, batch)
{body}"""


@dataclass(frozen=True)
class Source:
    text: str
    num_rows: int
    num_products: int


def write_source(step: RandomStep) -> Source:
    batch, time, features = step.sizes
    w = Writer(
        {"b": batch, "t": time, "f": features}, "btf" if time else "bf", step.mode != "evaluate"
    )
    w.row("x", "floats(B, T, F)" if time else "floats(B, F)")
    for piece in step.pieces:
        _write(w, piece)
    definitions = [
        text for name, text in DEFINITIONS.items() if any(name in m for m in (*w.model, *w.state))
    ]
    text = HEAD.format(
        description=str(step),
        batch=batch,
        time=time,
        features=features,
        rows=w.sizes["b"],
        low=step.low,
        definitions="".join(f"\n{text}" for text in definitions),
        init=_init(step.seed, w),
        batch_function=_batch(w),
        names=", ".join(f'"{name}"' for name in w.leaves),
        others=", ".join(f'"{name}": batch["{name}"]' for name in w.others),
        prepared=_lines(w.prepared),
        model=_lines(w.model),
        aux=_items(w.aux),
    )
    if step.mode != "evaluate":
        text += GRADIENTS
    return Source(text + _step(step, w), w.sizes["b"], w.num_products)


def _init(seed: int, w: Writer) -> str:
    state = _items({"p": "params", **w.state})
    made = f"{_items(w.params)} {state}"
    lines = [f"rng = np.random.default_rng({seed})"]
    if "normal(" in made:
        lines.append("array = lambda a: jnp.asarray(a, jnp.float32)")
        lines.append("normal = lambda scale, *shape: array(rng.normal(size=shape) * scale)")
    if "complex_normal(" in made:
        lines.append("complex_normal = lambda *a: lax.complex(normal(*a), normal(*a))")
    lines.append(f"params = {{{_items(w.params)}}}")
    if "zeros_like_params" in made:
        lines.append("zeros_like_params = jax.tree.map(jnp.zeros_like, params)")
    return _lines([*lines, f"return {{{state}}}"])


def _batch(w: Writer) -> str:
    leaves = _items(w.leaves | w.others)
    lines = ["rng = np.random.default_rng(1000 + i)"]
    lines.append("floats = lambda *shape: rng.normal(size=shape).astype(np.float32)")
    if "integers(" in leaves:
        lines.append("integers = lambda n, *shape: rng.integers(0, n, size=shape, dtype=np.int32)")
    return _lines([*lines, f"return {{{leaves}}}"])


def _write(w: Writer, piece: Piece) -> None:
    CONSTRUCTS[piece.construct].write(w, **dict(piece.options))


def _step(step: RandomStep, w: Writer) -> str:
    results = _items({"loss": "loss", **w.results})
    if step.mode == "evaluate":
        body = ["loss, aux = forward(p, state, rows, whole)", f"return {{{results}}}"]
        return STEP.format(body=_lines(body))
    body = ["(loss, aux), g = gradients(state, rows, whole)"]
    if step.mode == "gradients":
        return STEP.format(body=_lines([*body, f"return g, {{{results}}}"]))
    body += w.finish
    body += ["new = jax.tree.map(lambda q, v: q - 0.1 * jnp.conj(v), p, g)"]
    state = _items({name: w.new_state.get(name, f'state["{name}"]') for name in w.state})
    body += [f'return {{"p": new{", " + state if state else ""}}}, {{{results}}}']
    return STEP.format(body=_lines(body))


def _items(entries: dict[str, str]) -> str:
    return ", ".join(f'"{name}": {value}' for name, value in entries.items())


def _lines(lines: list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def load(text: str) -> dict[str, Any]:
    """The functions that a source defines."""
    namespace: dict[str, Any] = {}
    exec(compile(text, "random_step.py", "exec"), namespace)
    return namespace
