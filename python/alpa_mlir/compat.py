"""Private JAX: the only module that touches it. Each function says what public API it waits for."""

# pyright: reportPrivateUsage=false

from typing import Any


def host_callbacks(lowered: Any) -> tuple[Any, ...]:
    """The Python functions that custom calls of a `jax.stages.Lowered` refer to by position.

    There is no public way to carry `jax.debug.print` and its kin into another module.
    """
    return tuple(lowered._lowering.compile_args.get("host_callbacks", ()))


def stablehlo_of_hlo(text: str) -> bytes:
    """HLO text as StableHLO bytecode.

    Nothing public reads HLO: `jax.stages.Compiled.as_text` only writes it.
    """
    from jaxlib import _hlo, _jax  # pyright: ignore[reportAttributeAccessIssue]

    proto = _hlo.hlo_module_from_text(text).as_serialized_hlo_module_proto()
    return _jax.mlir.hlo_to_stablehlo(proto)
