"""jaxlib's part in `alpa-opt`: it reads a module in whatever form, prints the result, and runs
Shardy's own passes. The driver is native (passes/opt/Opt.cpp).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import TypeVar

import jax
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir, passmanager
from jax.interpreters import mlir

from alpa_mlir import _native
from alpa_mlir.ir.jaxlib import generic_text, is_portable_artifact

T = TypeVar("T")

Diagnostics = list[tuple[str, str, str]]
"""(severity, printed MLIR location, message); a note belongs to the entry before it."""


class JaxlibHost:
    """The owner of the StableHLO and Shardy dialects.

    Every method returns the module asked for, or what is wrong with the one given.
    """

    def __init__(self) -> None:
        self._context = mlir.make_ir_context()

    def read(self, source: bytes, file_name: str, allow_unregistered: bool) -> str | Diagnostics:
        """Any form of a module as generic text with locations in `file_name`."""
        self._context.allow_unregistered_dialects = allow_unregistered
        try:
            with self._context:
                return _renamed(generic_text(self._parsed(source)), file_name)
        except ir.MLIRError as error:
            diagnostics = _diagnostics(error)
        except jax.errors.JaxRuntimeError as error:  # what a broken portable artifact raises
            diagnostics = [("error", 'loc("-":0:0)', str(error))]
        return [(kind, _renamed(place, file_name), text) for kind, place, text in diagnostics]

    def _parsed(self, source: bytes) -> ir.Module:
        if is_portable_artifact(source):
            return jax_mlir.deserialize_portable_artifact(source, self._context)
        return ir.Module.parse(source)

    def write(self, generic: bytes, form: _native.OutputForm) -> str | bytes | Diagnostics:
        """The module in the form that the command line asks for."""
        return self._with_module(generic, lambda module: _printed(module, form))

    def transform(self, generic: bytes, pipeline: str) -> str | Diagnostics:
        """The module after one of jaxlib's pipelines, as generic text with locations."""

        def run(module: ir.Module) -> str:
            passmanager.PassManager.parse(pipeline).run(module.operation)
            return generic_text(module)

        return self._with_module(generic, run)

    def _with_module(self, generic: bytes, use: Callable[[ir.Module], T]) -> T | Diagnostics:
        # The input was checked when it was read; what passes left is not checked again.
        self._context.allow_unregistered_dialects = True
        try:
            with self._context:
                return use(ir.Module.parse(generic))
        except ir.MLIRError as error:
            rejected = ("error", "loc(unknown)", "expected a module that jaxlib accepts")
            return [rejected, *_diagnostics(error)]


def _printed(module: ir.Module, form: _native.OutputForm) -> str | bytes:
    if form.bytecode:
        file = io.BytesIO()
        module.operation.write_bytecode(file, desired_version=form.bytecode_version)
        return file.getvalue()
    text = module.operation.get_asm(
        print_generic_op_form=form.generic,
        enable_debug_info=form.debug_info,
        pretty_debug_info=form.pretty_debug_info,
        use_local_scope=form.local_scope,
        large_elements_limit=form.elide_elements_larger_than,
    )
    return str(text)


def _renamed(text: str, file_name: str) -> str:
    """Puts the file's name where MLIR wrote "-", its name for a source without one.

    Quotes inside MLIR strings are escaped, so nothing but a location matches.
    """
    quoted = json.dumps(file_name, ensure_ascii=False)
    return re.sub(r'"-":(?=\d)', lambda _: f"{quoted}:", text)


def _diagnostics(error: ir.MLIRError) -> Diagnostics:
    entries: Diagnostics = []
    for diagnostic in error.error_diagnostics:
        entries.append(("error", str(diagnostic.location), diagnostic.message))
        entries += [("note", str(note.location), note.message) for note in diagnostic.notes]
    return entries
