"""Writes the parts of a random step: the state, the batch, what is prepared, the model, the update.

In the model, `h` holds the activations. Its layout names its dims, "b" rows (examples, or what a
view made of them), "t" time steps and "f" features, in any order.
"""

from dataclasses import dataclass, field
from typing import Any

# Written into every source that uses their names.
DEFINITIONS = {
    "scaled_gradient": """
@jax.custom_vjp
def scaled_gradient(x):
    return x


scaled_gradient.defvjp(lambda x: (x, None), lambda _, g: (0.5 * g,))
""",
    "optimizer": """
import optax

clip = optax.clip_by_global_norm(0.5)
optimizer = optax.chain(clip, optax.adamw(optax.linear_schedule(0.001, 0.01, 3), eps=0.01))
""",
}


@dataclass
class Writer:
    sizes: dict[str, int]
    layout: str
    has_gradients: bool
    params: dict[str, str] = field(default_factory=dict[str, str])
    state: dict[str, str] = field(default_factory=dict[str, str])
    new_state: dict[str, str] = field(default_factory=dict[str, str])
    leaves: dict[str, str] = field(default_factory=dict[str, str])
    others: dict[str, str] = field(default_factory=dict[str, str])  # leaves without examples
    prepared: list[str] = field(default_factory=list[str])
    model: list[str] = field(default_factory=list[str])
    finish: list[str] = field(default_factory=list[str])  # after the gradients
    results: dict[str, str] = field(default_factory=dict[str, str])
    aux: dict[str, str] = field(default_factory=dict[str, str])  # what leaves the model
    has_two_views: bool = False
    num_products: int = 0
    num_names: int = 0

    def name(self, stem: str) -> str:
        self.num_names += 1
        return f"{stem}{self.num_names}"

    # --- Arguments ---

    def param(self, *shape: int, scale: float = 1.0, kind: str = "normal") -> str:
        """Standard deviation: `scale` by the root of the second last dim, as for a layer."""
        name = self.name("w")
        fan_in = shape[-2] if len(shape) > 1 else 1
        size = ", ".join(map(str, shape))
        self.params[name] = f"{kind}({round(scale * fan_in**-0.5, 3)}, {size})"
        return f'p["{name}"]'

    def matrix(self, fan_in: int | None = None, fan_out: int | None = None, **more: Any) -> str:
        """A parameter that is multiplied: a layer's."""
        self.num_products += 1
        return self.param(fan_in or self.sizes["f"], fan_out or self.sizes["f"], **more)

    def vector(self) -> str:
        """A parameter with a number per feature, as it broadcasts over `h`."""
        return self.along(self.param(self.sizes["f"], scale=0.1), "f")

    def state_leaf(self, stem: str, initial: str) -> str:
        name = stem
        self.state.setdefault(name, initial)
        return f'state["{name}"]'

    def row(self, stem: str, value: str) -> str:
        """A batch leaf with a value for every example; in the model, what the view makes of it."""
        self.leaves.setdefault(stem, value)
        return f'rows["{stem}"]'

    def whole(self, stem: str, value: str) -> str:
        """A value that depends on nothing but the batch (`rows`)."""
        name = self.name(stem)
        self.prepared.append(f'whole["{name}"] = {value}')
        return f'whole["{name}"]'

    def ids(self) -> str:
        return self.row("ids", "integers(5, B)")

    def shared_param(self, name: str, *shape: int) -> str:
        """A parameter that all constructs share that ask for it."""
        size = ", ".join(map(str, shape))
        self.params.setdefault(name, f"normal({round(shape[-2] ** -0.5, 3)}, {size})")
        return f'p["{name}"]'

    # --- The model ---

    def write(self, *lines: str) -> None:
        self.model.extend(lines)

    def axis(self, dim: str) -> int:
        return self.layout.index(dim)

    def shape(self, layout: str | None = None) -> str:
        return ", ".join(str(self.sizes[dim]) for dim in layout or self.layout)

    def to(self, layout: str, variable: str = "h") -> None:
        if layout != self.layout:
            order = ", ".join(str(self.layout.index(dim)) for dim in layout)
            self.write(f"{variable} = {variable}.transpose({order})")
            self.layout = layout

    def batch_first(self) -> None:
        self.to("btf" if "t" in self.layout else "bf")

    def along(self, value: str, dims: str, rank_of: str | None = None) -> str:
        """`value`, whose dims are `dims` in the order of the layout, broadcast over `h`."""
        layout = rank_of or self.layout
        if len(dims) == len(layout) or (len(dims) == 1 and layout.endswith(dims)):
            return value
        index = ", ".join(":" if dim in dims else "None" for dim in layout)
        return f"{value}[{index}]"

    def dot(self, weight: str, variable: str = "h") -> str:
        """`variable` times a matrix, over the features, which stay where they are."""
        if self.layout.endswith("f"):
            return f"{variable} @ {weight}"
        return (
            f'jnp.einsum("{self.layout},fg->{self.layout.replace("f", "g")}", {variable}, {weight})'
        )

    def mean_over_time(self, variable: str = "h") -> str:
        """What has rows and features, in this order."""
        dims = self.layout.replace("t", "")
        value = f"{variable}.mean({self.axis('t')})" if "t" in self.layout else variable
        return value if dims == "bf" else f"{value}.T"
