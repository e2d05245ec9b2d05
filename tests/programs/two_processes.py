"""One of two processes with two devices each: saves leaves that live here, there and on both.

    python -m programs.two_processes PROCESS PORT FOLDER

Restores them elsewhere, and prints "restored" when what it has of them is what was saved.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from alpa_mlir.checkpoint.restoring import restore
from alpa_mlir.checkpoint.saving import Writer
from alpa_mlir.program.placement import absent
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

VALUE = np.arange(64, dtype=np.float32).reshape(8, 8)
KEY_WORDS = np.arange(4, dtype=np.uint32).reshape(2, 2)
EXPECTED = {"both": VALUE, "first": VALUE + 1, "second": (VALUE + 2, VALUE[0]), "host": VALUE + 3}


def shardings() -> tuple[Any, Any]:
    """Of what is saved, and of what is restored."""
    devices = sorted(jax.devices(), key=lambda device: device.id)
    first, second = (Mesh(np.array(part), ("x",)) for part in (devices[:2], devices[2:]))
    both = Mesh(np.array(devices).reshape(2, 2), ("stage", "x"))
    saved = {
        "both": NamedSharding(both, P("stage", "x")),
        "first": NamedSharding(first, P("x")),
        "second": (NamedSharding(second, P(None, "x")), NamedSharding(second, P())),
    }
    restored = {
        "both": NamedSharding(second, P("x")),
        "first": NamedSharding(both, P("x", "stage")),
        "second": (NamedSharding(first, P("x")), NamedSharding(both, P("stage"))),
        "host": NamedSharding(first, P("x")),
    }
    return saved, restored


def array(value: Any, sharding: NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(
        value.shape, sharding, lambda index: value[index], dtype=value.dtype
    )


def keys(sharding: NamedSharding) -> jax.Array:
    """Typed PRNG keys that lie so."""
    if not sharding.addressable_devices:
        return absent((2,), jax.random.key(0).dtype, sharding)
    words = array(KEY_WORDS, NamedSharding(sharding.mesh, P(*sharding.spec, None)))
    return jax.jit(jax.random.wrap_key_data, out_shardings=sharding)(words)


def check(leaves: list[Any], values: list[Any], shardings: list[Any]) -> None:
    for got, value, sharding in zip(leaves, values, shardings, strict=True):
        assert got.sharding == sharding
        assert len(got.addressable_shards) == len(sharding.addressable_devices)
        for part in got.addressable_shards:
            data = jax.random.key_data(part.data) if value is KEY_WORDS else part.data
            np.testing.assert_array_equal(data, value[part.index])


def find_damage_once() -> None:
    """The next arrays that orbax reads in this process are not whole."""
    handler: Any = ocp.type_handlers.ArrayHandler
    read = handler.deserialize

    async def fail(*_: Any) -> Any:
        handler.deserialize = read
        raise ValueError("bytes are lacking")

    handler.deserialize = fail


def main(process: int, port: int, folder: str) -> None:
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
    saved, restored = shardings()
    state = jax.tree.map(array, {name: EXPECTED[name] for name in saved}, saved)
    state["keys"] = keys(saved["first"])
    writer = Writer()
    for number in range(3):
        writer.save(folder, {**state, "host": EXPECTED["host"]}, {"by": "a test"}, number, 2)
    writer.wait()

    wanted, tree = jax.tree.flatten({**restored, "keys": restored["second"][0]})
    values = jax.tree.leaves({**EXPECTED, "keys": KEY_WORDS})
    avals = [
        jax.ShapeDtypeStruct((2,), jax.random.key(0).dtype)
        if value is KEY_WORDS
        else jax.typeof(array(value, sharding))
        for value, sharding in zip(values, wanted, strict=True)
    ]
    check(jax.tree.leaves(restore(folder, tree, avals, wanted, None)), values, wanted)
    if process == 1:
        find_damage_once()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(jax.tree.leaves(restore(folder, tree, avals, wanted, None)), values, wanted)
    assert any("process 1 cannot read checkpoint 2 in" in str(each.message) for each in caught)
    print("restored", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
