"""Private JAX: the only module that touches it. Each function says what public API it waits for."""

# pyright: reportPrivateUsage=false

from typing import Any


def host_callbacks(lowered: Any) -> tuple[Any, ...]:
    """The Python functions that custom calls of a `jax.stages.Lowered` refer to by position.

    There is no public way to carry `jax.debug.print` and its kin into another module.
    """
    return tuple(lowered._lowering.compile_args.get("host_callbacks", ()))
