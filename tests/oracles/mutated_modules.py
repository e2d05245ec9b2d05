"""Passes never crash: damaged modules through every pass, in children that may die.

The modules are the inputs of the pass tests. An outcome is good if the pass succeeds or fails with
a diagnostic; a signal, another exception, a failure that says nothing and a file written are not.
"""

from __future__ import annotations

import bisect
import itertools
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpa_mlir import _native
from alpa_mlir.errors import AlpaError
from alpa_mlir.ir.jaxlib import parsed, populate_rules

from oracles import generic_module
from oracles.module_mutations import mutated

INPUTS = Path(__file__).resolve().parents[1] / "passes"
WORKER = Path(__file__).parent / "pass_worker.py"

ANALYSES = ("summary", "way", "shard 2", "shard 2 2")
"""Checks of the worker that are more than a pass."""

_MARKER = "// -----"


@dataclass(frozen=True)
class Source:
    """A module of a pass test, as generic text without locations."""

    name: str
    text: str


@dataclass(frozen=True)
class Finding:
    """What a check did to a variant that it may not do."""

    variant: int
    check: str
    outcome: str


def sources(pattern: str = "*.mlir") -> list[Source]:
    """The modules of the pass tests that are readable, each once."""
    found: dict[str, Source] = {}
    for path in sorted(INPUTS.glob(pattern)):
        source = path.read_text()
        wants_rules = "sdy-populate-op-sharding-rules" in source
        for number, part in enumerate(re.split(r"^// -----$|^//--- .*$", source, flags=re.M)):
            text = _generic(part, wants_rules)
            if text is not None:
                found.setdefault(text, Source(f"{path.stem}[{number}]", text))
    return list(found.values())


def _generic(part: str, wants_rules: bool) -> str | None:
    try:
        with parsed(populate_rules(part) if wants_rules else part) as module:
            return str(module.operation.get_asm(print_generic_op_form=True))
    except AlpaError:
        try:  # what jaxlib refuses may be for the eyes of our passes alone
            return _native.Module.parse(part).text()
        except RuntimeError:
            return None


def pipelines() -> list[str]:
    """Every pass of ours, with all options that the RUN lines of the pass tests give it."""
    found: dict[str, None] = {}
    for path in sorted(INPUTS.glob("*.mlir")):
        for line in re.findall(r"^// RUN:.*", path.read_text(), re.M):
            for quoted, plain in re.findall(r"""['"]--(alpa[^'"]*)['"]|--(alpa\S*)""", line):
                name, _, options = (quoted or plain).partition("=")
                if "file=" not in options:
                    options = options.strip("'\"")
                    found[f"{name}{{{options}}}" if options else name] = None
    return list(found)


def all_checks() -> list[str]:
    return [*ANALYSES, *pipelines()]


def damaged(modules: Sequence[Source], first_seed: int, count: int) -> list[str]:
    """Random variants, each of a seed of its own."""
    trees = [generic_module.parse(module.text) for module in modules]
    variants: list[str] = []
    for seed in range(first_seed, first_seed + count):
        rng = random.Random(seed)
        variants.append(mutated(rng.choice(trees), rng))
    return variants


def run(variants: Sequence[str], checks: Sequence[str]) -> Iterator[Finding]:
    """Runs every check on every variant. A child that died is replaced by one that goes on."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, log, empty = Path(folder, "variants"), Path(folder, "log"), Path(folder, "empty")
        empty.mkdir()
        inputs.write_text("".join(json.dumps(variant) + "\n" for variant in variants))
        variant, check = 0, 0
        while True:
            log.write_text("")
            command = [sys.executable, str(WORKER), str(_native.__file__), str(inputs)]
            command += [json.dumps(list(checks)), str(log), str(variant), str(check)]
            child = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False)
            lines = log.read_text().splitlines()
            for before, line in itertools.pairwise(lines):
                if line.startswith("! "):
                    at, number = map(int, before.split())
                    yield Finding(at, checks[number], json.loads(line[2:]))
            if files := sorted(path.name for path in empty.iterdir()):
                raise AssertionError(f"expected no file to be written, got {files}")
            if lines and lines[-1] == "done":
                return
            if child.returncode >= 0 or not lines:
                raise AssertionError(f"the worker itself failed: {child.stderr}")
            last = next(line for line in reversed(lines) if not line.startswith("! "))
            variant, check = map(int, last.split())
            yield Finding(variant, checks[check], _death(child))
            check += 1


# --- The plugin ---


def plugin_command() -> list[str] | None:
    """`mlir-opt` with our passes; None where there is none."""
    tool = shutil.which("mlir-opt-22") or shutil.which("mlir-opt")
    plugin = Path(str(_native.__file__)).parent / "plugin" / "AlpaPasses.so"
    if tool is None or not plugin.exists():
        return None
    return [tool, f"--load-pass-plugin={plugin}", "--allow-unregistered-dialect"]


def run_plugin(
    command: Sequence[str], variants: Sequence[str], passes: Sequence[str]
) -> Iterator[Finding]:
    """The same in `mlir-opt`, where no verifier of StableHLO comes first."""
    for name in passes:
        for number, outcome in _run_batch(command, list(enumerate(variants)), name):
            yield Finding(number, name, outcome)


def _run_batch(
    command: Sequence[str], variants: list[tuple[int, str]], name: str
) -> Iterator[tuple[int, str]]:
    """All variants in one process. If it dies, each half in one of its own."""
    source = f"\n{_MARKER}\n".join(text for _, text in variants)
    child = subprocess.run(
        [*command, "--split-input-file", f"--pass-pipeline=builtin.module({name})"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if child.returncode in (0, 1):
        for index in _silent(source, child):
            yield variants[index][0], "fails without an error"
    elif len(variants) == 1:
        yield variants[0][0], f"exit {child.returncode}"
    else:
        middle = len(variants) // 2
        yield from _run_batch(command, variants[:middle], name)
        yield from _run_batch(command, variants[middle:], name)


def _silent(source: str, child: subprocess.CompletedProcess[str]) -> list[int]:
    """Parts of the input of which there is no output, and no error either."""
    lines = source.splitlines()
    starts = [0, *(i for i, line in enumerate(lines, 1) if line == _MARKER)]
    errors = {
        bisect.bisect_right(starts, int(line)) - 1
        for line in re.findall(r"^<stdin>:(\d+):\d+: error:", child.stderr, re.M)
    }
    outputs = child.stdout.split(_MARKER)
    empty = [index for index, output in enumerate(outputs) if not output.strip()]
    return [index for index in empty if index not in errors]


def _death(child: subprocess.CompletedProcess[str]) -> str:
    name = signal.Signals(-child.returncode).name
    return "no end" if name == "SIGPROF" else f"{name} {child.stderr[-300:]}".strip()
