"""Tensor types of StableHLO as types of JAX."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp
from jax.core import ShapedArray

from alpa_mlir.errors import PassError

_DTYPES: dict[str, Any] = {
    "i1": jnp.bool_,
    "bf16": jnp.bfloat16,
    "f16": jnp.float16,
    "f32": jnp.float32,
    "f64": jnp.float64,
    "complex<f32>": jnp.complex64,
    "complex<f64>": jnp.complex128,
    **{f"i{bits}": getattr(jnp, f"int{bits}") for bits in (4, 8, 16, 32, 64)},
    **{f"ui{bits}": getattr(jnp, f"uint{bits}") for bits in (4, 8, 16, 32, 64)},
    **{
        spelled: getattr(jnp, name)
        for spelled, name in (
            ("f8E4M3FN", "float8_e4m3fn"),
            ("f8E5M2", "float8_e5m2"),
            ("f8E4M3B11FNUZ", "float8_e4m3b11fnuz"),
            ("f8E4M3FNUZ", "float8_e4m3fnuz"),
            ("f8E5M2FNUZ", "float8_e5m2fnuz"),
        )
    },
}
_TENSOR = re.compile(r"tensor<((?:\d+x)*)([a-z].*)>$")


def aval_of(mlir_type: str) -> Any:
    """The abstract array of `tensor<4x8xf32>`.

    Raises:
      PassError: it is no tensor of static shape, or of elements JAX has no dtype for.
    """
    match = _TENSOR.match(mlir_type)
    dtype = _DTYPES.get(match[2]) if match else None
    if match is None or dtype is None:
        raise PassError(
            f"expected a tensor of static shape and a dtype of JAX to pass between stages, got "
            f"{mlir_type}"
        )
    shape = tuple(int(size) for size in match[1].split("x") if size)
    return ShapedArray(shape, jnp.dtype(dtype))
