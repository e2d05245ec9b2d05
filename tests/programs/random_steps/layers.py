"""Constructs of the model that have weights: dense layers, attention, convolutions, tables."""

from programs.random_steps.registry import construct, has_time
from programs.random_steps.writer import Writer

ACTIVATIONS = ("jnp.tanh", "jax.nn.gelu", "jax.nn.relu", "jnp.sin")
BOTH = (True, False)


@construct("model", weight=4, activation=ACTIVATIONS, has_bias=BOTH)
def dense(w: Writer, activation: str, has_bias: bool) -> None:
    bias = f" + {w.vector()}" if has_bias else ""
    w.write(f"h = {activation}({w.dot(w.matrix())}{bias})")


@construct("model", weight=2, activation=ACTIVATIONS)
def residual(w: Writer, activation: str) -> None:
    inner = f"{activation}({w.dot(w.matrix())})"
    w.write(f"h = h + {w.dot(w.matrix(scale=0.5), inner)}")


@construct("model", is_checkpoint=BOTH)
def checkpointed(w: Writer, is_checkpoint: bool) -> None:
    wide = w.name("layer")
    wrap = "jax.checkpoint" if is_checkpoint else "jax.jit"
    w.write(f"{wide} = {wrap}(lambda w, h: jnp.tanh({w.dot('w')}))")
    w.write(f"h = {wide}({w.matrix()}, h)")


@construct("model")
def widened(w: Writer) -> None:
    features = w.sizes["f"]
    inner = f"jax.nn.gelu({w.dot(w.matrix(features, 2 * features))})"
    w.write(f"h = {w.dot(w.matrix(2 * features, features), inner)}")


@construct("model")
def mirrored_features(w: Writer) -> None:
    axis, features = w.axis("f"), w.sizes["f"]
    w.write(f"h = jnp.concatenate([h, jnp.flip(h, {axis})], {axis})")
    w.write(f"h = {w.dot(w.matrix(2 * features, features))}")


@construct("model")
def two_passes(w: Writer) -> None:
    net = w.name("net")
    w.write(f"{net} = lambda h, w={w.matrix()}: jnp.tanh({w.dot('w')})")
    w.write(f"h = {net}(h) + 0.5 * {net}(h * 0.3)")


@construct("model")
def reused_weight(w: Writer) -> None:
    """A layer's weight in another layer, maybe in another stage."""
    weight = w.shared_param("shared", w.sizes["f"], w.sizes["f"])
    w.num_products += 1
    w.write(f"h = h + jnp.tanh({w.dot(weight)})")


@construct("model")
def input_gradient(w: Writer) -> None:
    """A gradient inside of what is differentiated."""
    w.write(f"energy = lambda h, w={w.matrix()}: jnp.tanh({w.dot('w')}).sum()")
    w.write("h = h - 0.5 * jax.grad(energy)(h)")


@construct("model")
def normalized_weight(w: Writer) -> None:
    name, weight = w.name("unit"), w.matrix()
    w.write(f"{name} = {weight} / jnp.sqrt(jnp.sum({weight} ** 2) + 0.1)")
    w.write(f"h = h + {w.dot(name)}")


@construct("model")
def teacher(w: Writer) -> None:
    """Weights that no gradient reaches, kept as a running average of others."""
    weight = w.matrix()
    name = weight[3:-2]
    old = w.state_leaf(f"ema_{name}", w.params[name])
    w.num_products += 1
    w.new_state[f"ema_{name}"] = f'0.9 * {old} + 0.1 * p["{name}"]'
    w.write(f"taught = lax.stop_gradient({w.dot(old + '.astype(h.dtype)')})")
    w.write(f"h = jnp.tanh({w.dot(weight)}) + 0.2 * taught")


@construct("model", is_possible=has_time)
def attention(w: Writer) -> None:
    w.batch_first()
    q, k, v = (w.dot(w.matrix()) for _ in range(3))
    w.write(f"q, k, v = {q}, {k}, {v}")
    w.write('scores = jnp.einsum("bqf,bkf->bqk", q, k) * 0.3')
    w.write('h = h + jnp.einsum("bqk,bkf->bqf", jax.nn.softmax(scores, -1), v)')


@construct("model", is_possible=has_time, activation=ACTIVATIONS)
def time_merged(w: Writer, activation: str) -> None:
    """Batch and time as one dim."""
    w.batch_first()
    rows, time, features = (w.sizes[dim] for dim in "btf")
    merged = f"h.reshape({rows * time}, {features}) @ {w.matrix()}"
    w.write(f"h = {activation}({merged}).reshape({rows}, {time}, {features})")


@construct("model", is_possible=has_time, window=(2, 3))
def convolution(w: Writer, window: int) -> None:
    w.batch_first()
    w.num_products += 1
    kernel = w.param(window, w.sizes["f"], w.sizes["f"])
    layout = '("NWC", "WIO", "NWC")'
    w.write(f'h = lax.conv_general_dilated(h, {kernel}, (1,), "SAME", dimension_numbers={layout})')


@construct("model", is_possible=has_time)
def image_convolution(w: Writer) -> None:
    """Time and features as an image."""
    w.batch_first()
    w.num_products += 2
    first, second = w.param(2, 2, 1, 3), w.param(2, 2, 3, 1)
    layout = '("NHWC", "HWIO", "NHWC")'
    for source, kernel in (("h[..., None]", first), ("jnp.tanh(c)", second)):
        options = f'(1, 1), "SAME", dimension_numbers={layout}'
        w.write(f"c = lax.conv_general_dilated({source}, {kernel}, {options})")
    w.write("h = h + c[..., 0]")


@construct("model", weight=2)
def embedding(w: Writer) -> None:
    table = w.param(5, w.sizes["f"], scale=0.5)
    ids = w.ids()
    rows = f"{table}[{ids}]"
    rows = rows if w.axis("b") < w.axis("f") else f"{rows}.T"
    w.write(f"h = h + {w.along(rows, 'bf')}")


@construct("model", is_possible=has_time)
def token_embedding(w: Writer) -> None:
    w.batch_first()
    tokens = w.row("tokens", "integers(7, B, T)")
    w.write(f"h = h + {w.param(7, w.sizes['f'])}[{tokens}]")


@construct("model")
def complex_dense(w: Writer) -> None:
    weight = w.matrix(kind="complex_normal")
    w.write(f"z = {w.dot(weight, 'h.astype(jnp.complex64)')}")
    w.write("h = h + (z.real + 0.5 * z.imag).astype(h.dtype)")


@construct("model")
def fourier(w: Writer) -> None:
    axis, filters = w.axis("f"), w.param(w.sizes["f"], scale=0.5, kind="complex_normal")
    w.write(f"z = jnp.fft.fft(h.astype(jnp.float32), axis={axis}) * {w.along(filters, 'f')}")
    w.write(f"h = h + 0.5 * jnp.fft.ifft(z, axis={axis}).real.astype(h.dtype)")


@construct("model")
def offset_per_example(w: Writer) -> None:
    """A leaf of the state with a number per example."""
    offset = w.state_leaf("offset", "0.1 * jnp.arange(R, dtype=jnp.float32)")
    w.new_state["offset"] = f"0.9 * {offset}"
    w.write(f"h = h + {w.along(offset, 'b')}.astype(h.dtype)")
