"""lit configuration of the pass tests: `lit tests/passes`, or `make test-passes`.

The Python that runs lit also runs alpa-opt. FileCheck and its companions come from the LLVM that
MLIR came from: LLVM_TOOLS_DIR if set, else beside MLIR_DIR, llvm-config-22, or Debian's prefix.
"""

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import lit.formats

config: Any
lit_config: Any
config = globals()["config"]
lit_config = globals()["lit_config"]

ROOT = Path(__file__).resolve().parents[2]


def llvm_tools() -> Path:
    candidates = [Path(path) for path in [os.environ.get("LLVM_TOOLS_DIR")] if path]
    if mlir_dir := os.environ.get("MLIR_DIR"):  # <prefix>/lib/cmake/mlir
        candidates.append(Path(mlir_dir).parents[2] / "bin")
    if llvm_config := shutil.which("llvm-config-22"):
        bindir = subprocess.run(
            [llvm_config, "--bindir"], capture_output=True, text=True, check=True
        )
        candidates.append(Path(bindir.stdout.strip()))
    candidates.append(Path("/usr/lib/llvm-22/bin"))
    for candidate in candidates:
        if (candidate / "FileCheck").exists():
            return candidate
    lit_config.fatal(
        f"expected FileCheck of LLVM 22 in one of {[str(path) for path in candidates]}; "
        "install mlir-22-tools and llvm-22-tools, or set LLVM_TOOLS_DIR"
    )
    raise AssertionError("fatal does not return")


tools = llvm_tools()
in_place = ROOT / "python" / "alpa_mlir"
plugin = Path(os.environ.get("ALPA_PLUGIN", in_place / "plugin" / "AlpaPasses.so"))
alpa_opt = f"{sys.executable} {Path(__file__).parent / 'alpa_opt.py'}"

config.name = "alpa passes"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs"]
config.test_source_root = str(Path(__file__).parent)
config.test_exec_root = str(ROOT / "build" / "lit")
config.environment["PATH"] = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
config.environment["JAX_PLATFORMS"] = "cpu"
if any((in_place / f"_native{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
    config.environment["PYTHONPATH"] = str(in_place.parent)
if (tools / "mlir-opt").exists() and plugin.exists():
    config.available_features.add("plugin")

config.substitutions += [
    (r"\balpa-opt\b", alpa_opt),
    ("%python", sys.executable),
    ("%mlir-opt-with-plugin", f"mlir-opt --load-pass-plugin={plugin} --allow-unregistered-dialect"),
]
