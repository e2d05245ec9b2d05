"""HLO text as data: computations, their instructions, and how often a run of a module runs each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_HEADER = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{\s*$")
# A tuple type holds no ") opcode(", so the shortest match ends at the opcode.
_INSTRUCTION = re.compile(
    r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = (?P<type>\(.*?\)|\S+) "
    r"(?P<opcode>[a-z][\w\-]*)\((?P<rest>.*)$"
)
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|(?:true|false)_computation|branch_computations)="
    r"(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
ENTRY = ""


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: without its "%". type: of the result, with layouts; of a tuple in parentheses.
      rest: operands and attributes, what comes behind the opcode's parenthesis.
    """

    name: str
    type: str
    opcode: str
    rest: str
    is_root: bool

    @staticmethod
    def of_line(line: str) -> Instruction | None:
        """None: the line has none."""
        if match := _INSTRUCTION.match(line):
            name, kind, opcode, rest = match["name"], match["type"], match["opcode"], match["rest"]
            return Instruction(name, kind, opcode, rest, match["root"] is not None)
        return None

    @property
    def started(self) -> str:
        """The opcode without "-start": "-done" only waits."""
        return self.opcode.removesuffix("-start")

    @property
    def operands(self) -> list[str]:
        """Names; `name#2` is the third element of a tuple."""
        return re.findall(r"%([\w.\-#]+)", self.rest.partition("), ")[0])

    @property
    def calls(self) -> list[str]:
        """Names of the computations that it runs."""
        called = _CALLED.findall(self.rest)
        return [name for names in called for name in re.findall(r"[\w.\-]+", names)]

    @property
    def trip_count(self) -> int:
        """How often a loop runs its body; 1 where that is not known, and of what is no loop."""
        known = _TRIP_COUNT.search(self.rest) if self.opcode == "while" else None
        return int(known[1]) if known else 1


Computation = Mapping[str, Instruction]


def parse_computations(hlo: str) -> dict[str, Computation]:
    """Instructions by name of each computation; the entry is called `ENTRY`.

    Raises:
      ValueError: the text has no entry, so that nothing would be found in it.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    current: dict[str, Instruction] = {}
    for line in hlo.splitlines():
        if header := _HEADER.match(line):
            current = computations.setdefault(ENTRY if header["entry"] else header["name"], {})
        elif instruction := Instruction.of_line(line):
            current[instruction.name] = instruction
    if ENTRY not in computations:
        raise ValueError(f"expected optimised HLO with an ENTRY, got '{hlo[:80]}'")
    return dict(computations)


def run_counts(computations: Mapping[str, Computation]) -> dict[str, int]:
    """How often one run of the entry runs each computation."""
    counts: dict[str, int] = {}

    def visit(name: str, times: int) -> None:
        counts[name] = counts.get(name, 0) + times
        for instruction in computations.get(name, {}).values():
            for callee, trips in _calls(instruction):
                visit(callee, times * trips)

    visit(ENTRY, 1)
    return counts


def _calls(instruction: Instruction) -> Iterator[tuple[str, int]]:
    if instruction.opcode in ("async-update", "async-done"):
        return  # async-start has named the same computation
    for callee in instruction.calls:
        yield callee, instruction.trip_count


def type_of(operand: str, computation: Computation) -> str:
    """Of an operand as instructions name it."""
    name, _, element = operand.partition("#")
    whole = computation[name].type
    return elements_of(whole)[int(element)] if element else whole


def elements_of(kind: str) -> list[str]:
    """The arrays of a type, without layouts: one, or those of a flat tuple."""
    return re.findall(r"\b[a-z]\w*\[[\d,]*\]", kind)


def dims_of(array: str) -> list[int]:
    """Of the type of one array."""
    match = re.match(r"\w+\[([\d,]*)\]", array)
    if match is None:
        raise ValueError(f"expected the type of an array, got '{array[:80]}'")
    return ints(match[1])


def ints(text: str) -> list[int]:
    """Of numbers with commas between."""
    return [int(part) for part in text.split(",") if part]
