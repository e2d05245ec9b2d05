"""One device's part of a partitioned program as a program of its own, to run where one device is.

XLA partitions the program for all devices of its mesh, which may be virtual; the module is taken as
the partitioner leaves it, with the shapes of one device. Collectives are replaced by what needs no
other device: all-reduces, all-to-alls and permutes give what they were given, a gathered array is
the own part again and again, a scattered one the first part of the own. So the time of collectives
is left out, and what is computed keeps its shapes, though not its values.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alpa_mlir.compat import stablehlo_of_hlo
from alpa_mlir.errors import CompileError
from alpa_mlir.ir.jaxlib import to_generic
from alpa_mlir.ir.spec import Spec, named_sharding
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.xla.hlo_text import Computation, Instruction, dims_of, type_of
from jax.sharding import Mesh


def alone(program: AnnotatedProgram, mesh: Mesh) -> AnnotatedProgram:
    """What one device of `mesh` does in `program`, collectives aside.

    Args:
      mesh: of devices that can compile, such as virtual CPU devices; nothing runs on them.

    Raises:
      CompileError: XLA refused the program, or partitioned it in a way that is not known here.
    """
    hlo = without_collectives(_partitioned_hlo(program, mesh))
    nowhere = tuple(((),) * len(a.shape) for a in program.in_avals)
    nowhere_out = tuple(((),) * len(a.shape) for a in program.out_avals)
    return replace(
        program,
        in_avals=_local(program.in_avals, program.in_specs, mesh),
        out_avals=_local(program.out_avals, program.out_specs, mesh),
        in_specs=nowhere,
        out_specs=nowhere_out,
        text=to_generic(stablehlo_of_hlo(hlo)),
    )


def _local(avals: Sequence[Any], specs: Sequence[Spec], mesh: Mesh) -> tuple[Any, ...]:
    shapes = [
        named_sharding(mesh, spec).shard_shape(aval.shape)
        for aval, spec in zip(avals, specs, strict=True)
    ]
    pairs = zip(avals, shapes, strict=True)
    return tuple(aval.update(shape=shape, weak_type=False) for aval, shape in pairs)


def _partitioned_hlo(program: AnnotatedProgram, mesh: Mesh) -> str:
    """As XLA's partitioner leaves it, before anything is optimised."""
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "xla_dump_to": folder,
            "xla_dump_hlo_pass_re": "spmd-partitioning",
            "xla_dump_hlo_as_text": True,
        }
        refusal: CompileError | None = None
        if mesh.devices.flat[0].platform == "cpu":
            # Nobody runs it. Without this pass, ops that stand alone have no code on CPUs, so that
            # compiling ends soon behind the partitioner: in an error, which is expected.
            options["xla_disable_hlo_passes"] = "fusion-wrapper"
        try:
            compile_program(program, mesh, options)
        except CompileError as error:
            refusal = error
        dumps = [
            path
            for path in sorted(Path(folder).glob("*after_spmd-partitioning*.txt"))
            if program.name in path.name
        ]
        if len(dumps) != 1:
            raise CompileError(
                f"expected one dump of '{program.name}' behind XLA's partitioner, got "
                f"{len(dumps)}; a program of one device has none, nor has one in JAX's cache"
            ) from refusal
        return dumps[0].read_text()


def without_collectives(hlo: str) -> str:
    """A module of one partition that runs without others; see the head of this file.

    Raises:
      CompileError: a collective is not of a form that is known here.
    """
    lines = hlo.splitlines()
    found = [Instruction.of_line(line) for line in lines]
    by_name = {instruction.name: instruction for instruction in found if instruction}
    alone_lines = [
        _line_alone(line, instruction, by_name) if instruction else line
        for line, instruction in zip(lines, found, strict=True)
    ]
    return re.sub(r", num_partitions=\d+", "", "\n".join(alone_lines))


def _line_alone(line: str, instruction: Instruction, by_name: Computation) -> str:
    opcode = instruction.opcode
    if opcode in ("partition-id", "replica-id"):
        return _rewritten(instruction, "constant(0)")
    if rule := _RULES.get(opcode):
        return _rewritten(instruction, rule(instruction, by_name))
    if opcode.startswith(_COLLECTIVE_PREFIXES):
        raise CompileError(f"expected a collective that is known, got '{opcode}': {line[:200]}")
    return line


def _rewritten(instruction: Instruction, call: str) -> str:
    root = "ROOT " if instruction.is_root else ""
    return f"  {root}%{instruction.name} = {instruction.type} {call}"


def _same(instruction: Instruction, by_name: Computation) -> str:
    operands = [f"%{operand}" for operand in instruction.operands]
    if instruction.type.startswith("("):
        return f"tuple({', '.join(operands)})"
    if len(operands) != 1:
        raise CompileError(f"expected one operand, got {len(operands)}: %{instruction.name}")
    return f"reshape({operands[0]})"


def _gathered(instruction: Instruction, by_name: Computation) -> str:
    dim, whole, part = _sizes(instruction, by_name)
    copies = ", ".join([f"%{instruction.operands[0]}"] * (whole[dim] // part[dim]))
    return f"concatenate({copies}), dimensions={{{dim}}}"


def _scattered(instruction: Instruction, by_name: Computation) -> str:
    _, part, _ = _sizes(instruction, by_name)
    ranges = ", ".join(f"[0:{size}]" for size in part)
    return f"slice(%{instruction.operands[0]}), slice={{{ranges}}}"


def _sizes(instruction: Instruction, by_name: Computation) -> tuple[int, list[int], list[int]]:
    """The dim that is gathered or scattered, and the dims of result and operand."""
    dim = re.search(r"dimensions=\{(\d+)\}", instruction.rest)
    if dim is None or len(instruction.operands) != 1 or instruction.type.startswith("("):
        raise CompileError(f"expected one array and one dim, got %{instruction.name}")
    operand = type_of(instruction.operands[0], by_name)
    return int(dim[1]), dims_of(instruction.type), dims_of(operand)


_COLLECTIVE_PREFIXES = ("all-", "collective-", "reduce-scatter", "ragged-all", "send", "recv")
_RULES: dict[str, Callable[[Instruction, Computation], str]] = {
    "all-reduce": _same,
    "all-to-all": _same,
    "collective-permute": _same,
    "collective-broadcast": _same,
    "copy": _same,  # which StableHLO does not have
    "all-gather": _gathered,
    "reduce-scatter": _scattered,
}
