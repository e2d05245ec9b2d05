"""Whatever pytree a state is, it comes back as that."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import alpa_mlir as alpa
import equinox
import flax.struct
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest

METHOD = alpa.ShardParallel(mesh_shape=(2, 4))


class Moments(NamedTuple):
    mean: Any
    rest: Any


class Nothing(NamedTuple):
    pass


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any


@jax.tree_util.register_pytree_node_class
class WithoutKeys:
    """A node whose children have no names."""

    def __init__(self, *children: Any) -> None:
        self.children = children

    def tree_flatten(self) -> tuple[Any, None]:
        return self.children, None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> "WithoutKeys":
        return cls(*children)


@flax.struct.dataclass
class Struct:
    weight: Any
    name: str = flax.struct.field(pytree_node=False)


def advance(state: Any, batch: Any) -> Any:
    """Other values of the same types."""

    def next_value(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return ~leaf if leaf.dtype == bool else leaf + leaf

    return jax.tree.map(next_value, state), jnp.mean(batch)


def normal(seed: int, *shape: int) -> Any:
    return jax.random.normal(jax.random.key(seed), shape)


def nested() -> Any:
    shared = normal(0, 8, 16)
    return {
        "layers": [Layer(shared, None), Layer(normal(1, 8, 4), normal(2, 3))],
        "moments": Moments(shared, (Nothing(), None, [], {}, (normal(3, 5, 5),))),
        "odd": WithoutKeys(normal(4, 2), (normal(5, 6, 2),)),
        "a/b": {"c.d": shared, " ": jnp.arange(3)},
        "numbered": {2: normal(6, 2), 30: jnp.zeros(())},
    }


def dtypes() -> Any:
    names = ["bfloat16", "float16", "float8_e4m3fn", "int8", "uint32", "complex64", "bool"]
    return {
        **{name: normal(7, 8, 4).astype(name) for name in names},
        "empty": jnp.zeros((0, 3), jnp.int32),
        "weak": jnp.full((3,), 2.0),
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(4), 8),
        "other_keys": jax.random.split(jax.random.key(5, impl="rbg"), 4),
    }


def numbers() -> Any:
    return {"int": 3, "float": 0.1, "flag": True, "numpy": np.float32(2), "of": np.arange(4.0)}


def train_state() -> Any:
    params = {"dense": {"kernel": normal(8, 8, 8), "bias": normal(9, 8)}}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    return flax.training.train_state.TrainState.create(apply_fn=None, params=params, tx=optimizer)


def module() -> Any:
    return equinox.filter(equinox.nn.MLP(4, 4, 8, 2, key=jax.random.key(0)), equinox.is_array)


STATES = {
    "nested": nested,
    "dtypes": dtypes,
    "numbers": numbers,
    "one_array": lambda: normal(0, 8, 8),
    "tuple": lambda: (normal(0, 8), (normal(1, 8), Struct(normal(2, 8), "name"))),
    "optax": lambda: optax.MultiSteps(optax.adam(1e-3), 2).init({"w": normal(0, 8, 8)}),
    "flax": train_state,
    "equinox": module,
}


def bits(leaf: Any) -> Any:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(jax.random.key_impl(leaf)), np.asarray(jax.random.key_data(leaf)).tobytes()
    return leaf.dtype, leaf.weak_type, leaf.shape, np.asarray(leaf).tobytes()


@pytest.mark.parametrize("name", STATES)
def test_state_comes_back(name: str, tmp_path: Path) -> None:
    state, batch = STATES[name](), jnp.ones(8)
    step = alpa.parallelize(advance, METHOD, donate_argnums=())
    executable = step.compile(state, batch)
    state, _ = executable.place(state, batch)
    alpa.save(tmp_path, state, step).wait()

    restored = alpa.restore(tmp_path, like=step)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    pairs = zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True)
    assert all(bits(got) == bits(want) for got, want in pairs)
    assert all(
        leaf.sharding == sharding
        for leaf, sharding in zip(
            jax.tree.leaves(restored),
            jax.tree.leaves(executable.input_shardings[0]),
            strict=True,
        )
    )


def test_numbers_are_saved_as_the_step_takes_them(tmp_path: Path) -> None:
    state = numbers()
    step = alpa.parallelize(advance, METHOD, donate_argnums=())
    step.compile(state, jnp.ones(8))
    alpa.save(tmp_path, state, step)
    state["of"][:] = -1  # the caller's own
    restored = alpa.restore(tmp_path, like=step)
    assert jax.device_get(restored["of"]).tolist() == [0, 1, 2, 3]
    assert (int(restored["int"]), bool(restored["flag"])) == (3, True)
    assert restored["int"].weak_type
    assert not restored["numpy"].weak_type


def test_empty_arrays_are_none_for_others(tmp_path: Path) -> None:
    state = {"empty": jnp.zeros((0, 3)), "full": jnp.ones(3)}
    step = alpa.parallelize(advance, METHOD, donate_argnums=())
    step.compile(state, jnp.ones(8))
    alpa.save(tmp_path, state, step).wait()
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        read = checkpointer.restore(tmp_path / "0" / "state")
    assert read["empty"] is None
    assert read["full"].tolist() == [1, 1, 1]


def test_argument_of_any_position(tmp_path: Path) -> None:
    step = alpa.parallelize(
        lambda name, batch, state: advance(state, batch)[0],
        METHOD,
        static_argnums=(0,),
        donate_argnums=(),
    )
    state = {"w": normal(0, 8)}
    step.compile("name", jnp.ones(8), state)
    alpa.save(tmp_path, state, step)
    restored = alpa.restore(tmp_path, like=step, argnum=2)
    assert bits(restored["w"]) == bits(state["w"])
