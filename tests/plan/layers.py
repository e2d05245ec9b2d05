"""What alpa-cluster-layers left, read from the module's text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from alpa_mlir import _native
from programs.small_programs import Program
from test_split_microbatches import split

_BYTES = {"i1": 1, "i8": 1, "ui8": 1, "i16": 2, "f16": 2, "bf16": 2, "i64": 8, "ui64": 8, "f64": 8}


@dataclass
class Op:
    """An op of a function's body; what its regions read counts as read by it."""

    name: str
    results: list[str]
    reads: set[str]
    layer: int | None
    phase: str | None
    result_types: str
    text: str = field(repr=False)

    @property
    def is_backward(self) -> bool:
        return self.phase == "backward"

    @property
    def num_bytes(self) -> int:
        return num_bytes(self.result_types)


def num_bytes(types: str) -> int:
    """Of all tensors in a text."""
    total = 0
    for tensor in re.findall(r"tensor<([^<>]*)>", types):
        *dims, element = tensor.split("x")
        size = _BYTES.get(element, 4)
        for dim in dims:
            size *= int(dim)
        total += size
    return total


def cluster(
    program: Program,
    num_layers: int,
    num_microbatches: int = 2,
    *,
    is_local: bool = False,
    flops_tolerance: str | None = None,
) -> tuple[str, list[str]]:
    """The module with layers, and the remarks of the pass."""
    extra = " allow-local-statistics=true" if is_local else ""
    module = _native.Module.parse(split(program, num_microbatches, extra))
    tolerance = f" flops-tolerance={flops_tolerance}" if flops_tolerance else ""
    given = f"num-layers={num_layers}{tolerance}"
    remarks = module.run(f"builtin.module(alpa-cluster-layers{{{given}}})")
    return module.text(), [remark.message for remark in remarks]


def ops_of(text: str, function: str) -> list[Op]:
    """The ops of a private function in generic form, in program order."""
    body = _body(text, function)
    ops: list[Op] = []
    for chunk in _statements(body):
        head = chunk.split("\n")[0]
        results = re.match(r"\s*(%\w+)(?::(\d+))? = ", head)
        name = re.search(r'"([\w.]+)"\(', head)
        if name is None or name.group(1) == "func.return":
            continue
        last = chunk.rstrip().split("\n")[-1]
        layer = re.search(r"alpa\.layer = (\d+)", last)
        phase = re.search(r'alpa\.phase = "(\w+)"', last)
        ops.append(
            Op(
                name=name.group(1),
                results=[results.group(1)] if results else [],
                reads=set(re.findall(r"%\w+", chunk[results.end() if results else 0 :])),
                layer=int(layer.group(1)) if layer else None,
                phase=phase.group(1) if phase else None,
                result_types=last.rsplit("->", 1)[1],
                text=chunk,
            )
        )
    return ops


def _body(text: str, function: str) -> list[str]:
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if f'sym_name = "{function}"' in line)
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("  }) "))
    return lines[start + 2 : end]


def _statements(lines: list[str]) -> list[str]:
    """Ops of the outermost block: continuation lines are deeper, or close a region."""
    statements: list[str] = []
    for line in lines:
        is_first = line.startswith("    ") and line[4:5] not in (" ", "}", "^")
        if is_first:
            statements.append(line)
        else:
            statements[-1] += "\n" + line
    return statements
