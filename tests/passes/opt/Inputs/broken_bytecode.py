"""Writes damaged binary modules: broken_bytecode.py INPUT.mlir FOLDER."""

import io
import sys
from pathlib import Path

from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.interpreters import mlir

folder = Path(sys.argv[2])
with mlir.make_ir_context():
    module = ir.Module.parse(Path(sys.argv[1]).read_bytes())
    artifact = jax_mlir.serialize_portable_artifact(module, "1.9.0")
    bytecode = io.BytesIO()
    module.operation.write_bytecode(bytecode)
(folder / "truncated.artifact").write_bytes(artifact[:60])
(folder / "truncated.mlirbc").write_bytes(bytecode.getvalue()[:60])
(folder / "noise.bin").write_bytes(bytes(range(256)))
