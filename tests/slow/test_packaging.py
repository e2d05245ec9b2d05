"""The built artefacts as their users meet them: the extension, the wheel, the CMake package."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from alpa_mlir import _native

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
"func.func"() <{function_type = (tensor<4xf32>) -> tensor<4xf32>, sym_name = "main",
                sym_visibility = "public"}> ({
^bb0(%arg0: tensor<4xf32>):
  %0 = "stablehlo.cosine"(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "stablehlo.sine"(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  "func.return"(%1) : (tensor<4xf32>) -> ()
}) : () -> ()
"""


def output_of(*command: str | Path, **options: Any) -> str:
    result = subprocess.run(command, capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def test_extension_needs_only_the_c_library() -> None:
    needed = [line.split()[0] for line in output_of("ldd", _native.__file__).splitlines()]
    foreign = [name for name in needed if "LLVM" in name or "MLIR" in name or "stdc++" in name]
    assert not foreign


def test_extension_exports_only_its_entry_point() -> None:
    symbols = output_of("nm", "-D", "--defined-only", _native.__file__)
    assert [line.split()[-1] for line in symbols.splitlines()] == ["PyInit__native"]


def test_wheel_holds_the_extension_and_no_build_leftovers(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    output_of(*pip, "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    native = [name for name in names if name.endswith(".so")]
    assert len(native) == 1
    assert native[0].startswith("alpa_mlir/_native.")
    assert {"alpa_mlir/__init__.py", "alpa_mlir/_native.pyi", "alpa_mlir/py.typed"} <= set(names)
    assets = {Path(name).name for name in names if "report/assets" in name}
    assert assets == {"page.html", "page.css", "page.js"}


def test_package_serves_an_embedding_compiler(tmp_path: Path) -> None:
    options = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
    prefix, theirs = tmp_path / "prefix", tmp_path / "theirs"
    ours = ROOT / "build" / "package-test"  # beside the others: what they compiled is known there
    shutil.rmtree(ours, ignore_errors=True)
    package = ["-DALPA_PYTHON=OFF", "-DALPA_PLUGIN=OFF", "-DALPA_PACKAGE=ON"]
    if compiler := shutil.which("g++"):  # by the name that pip's build calls it, for ccache
        package.append(f"-DCMAKE_CXX_COMPILER={compiler}")
    output_of("cmake", "-S", ROOT, "-B", ours, *options, *package)
    output_of("cmake", "--build", ours, "-j", "2")
    output_of("cmake", "--install", ours, "--prefix", prefix)
    headers = {str(p.relative_to(prefix / "include")) for p in prefix.glob("include/**/*.*")}
    assert headers == {"alpa_mlir/alpa/Passes.h", "alpa_mlir/alpa/Passes.h.inc"}
    llvm = Path(os.environ.get("MLIR_DIR") or "/usr/lib/llvm-22/lib/cmake/mlir").parents[2]
    source = Path(__file__).parent / "embedding"
    paths = f"-DCMAKE_PREFIX_PATH={prefix};{llvm}"
    output_of("cmake", "-S", source, "-B", theirs, *options, paths)
    output_of("cmake", "--build", theirs)
    run = [theirs / "embedding", "--allow-unregistered-dialect", "--alpa-normalize"]
    text = output_of(*run, input=MODULE)
    assert "stablehlo.sine" in text
    assert "stablehlo.cosine" not in text


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["absent.mlir"]])
def test_alpa_opt_script_fails_without_traceback(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "alpa_mlir.cli.opt", *arguments]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
