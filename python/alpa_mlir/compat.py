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


def distributed_client() -> Any | None:
    """The client of `jax.distributed`'s coordinator; None where this process has not joined one.

    What is public speaks through collectives on all devices; plans and addresses are told before
    there are any, and while a process may have failed.
    """
    from jax._src import distributed

    return distributed.global_state.client


def coordinator_address() -> str | None:
    """Where `jax.distributed`'s coordinator listens, host and port; None where there is none.

    Under Slurm and Open MPI only JAX knows it.
    """
    from jax._src import distributed

    return distributed.global_state.coordinator_address
