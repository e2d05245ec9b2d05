"""Writes a StableHLO portable artifact: portable_artifact.py INPUT.mlir OUTPUT."""

import sys
from pathlib import Path

from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.interpreters import mlir

with mlir.make_ir_context():
    module = ir.Module.parse(Path(sys.argv[1]).read_bytes())
    artifact = jax_mlir.serialize_portable_artifact(module, "1.9.0", use_mixed_serialization=True)
Path(sys.argv[2]).write_bytes(artifact)
