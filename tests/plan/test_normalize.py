"""alpa-normalize keeps what a program computes."""

from typing import Any

import jax
import numpy as np
import pytest
from alpa_mlir import _native
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.program.annotated import AnnotatedProgram
from jax.sharding import Mesh
from programs.small_programs import PROGRAMS, Program


def lowered(program: Program) -> jax.stages.Lowered:
    return jax.jit(program.function, keep_unused=True).lower(*program.arguments)


def generic_text(lowered: jax.stages.Lowered) -> str:
    module: Any = lowered.compiler_ir("stablehlo")
    return module.operation.get_asm(print_generic_op_form=True)


def normalized(text: str) -> str:
    module = _native.Module.parse(text)
    module.run("builtin.module(alpa-normalize)")
    return module.text()


def run(text: str, program: Program) -> Any:
    """The program's result, computed by the module."""
    closed, out = jax.make_jaxpr(program.function, return_shape=True)(*program.arguments)
    specs = [tuple(() for _ in aval.shape) for aval in closed.in_avals]
    annotated = AnnotatedProgram(
        name="normalized",
        text=text,
        in_avals=tuple(closed.in_avals),
        out_avals=tuple(closed.out_avals),
        in_specs=tuple(specs),
        out_specs=tuple(tuple(() for _ in aval.shape) for aval in closed.out_avals),
        in_tree=jax.tree.structure(program.arguments),
        out_tree=jax.tree.structure(out),
        donate_argnums=(),
    )
    return compile_program(annotated, Mesh(jax.devices()[:1], ("x",)))(*program.arguments)


@pytest.mark.parametrize("name", PROGRAMS)
def test_normalized_program_computes_the_same(name: str) -> None:
    program = PROGRAMS[name]
    original = lowered(program)
    text = normalized(generic_text(original))

    assert "func.call" not in text
    assert "stablehlo.composite" not in text
    assert text.count('"func.func"') == 1
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5),
        run(text, program),
        original.compile()(*program.arguments),
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_normalize_again_changes_nothing(name: str) -> None:
    once = normalized(generic_text(lowered(PROGRAMS[name])))
    assert normalized(once) == once
