"""One device's part of a partitioned program: what it computes, what collectives become."""

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import CompileError
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.stations import Lowered
from gpu.alone import alone, without_collectives

HEADER = "HloModule jit_f, num_partitions=8\n\nENTRY %main (p: f32[2,4]) -> f32[2,4] {\n"
FIRST = "  %p = f32[2,4]{1,0} parameter(0)\n"


def rewritten(line: str, before: str = "") -> str:
    return without_collectives(f"{HEADER}{FIRST}{before}  {line}\n}}").splitlines()[-2].strip()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "ROOT %r = f32[2,4]{1,0} all-reduce(%p), channel_id=1, to_apply=%add",
            "ROOT %r = f32[2,4]{1,0} reshape(%p)",
        ),
        (
            "%r = f32[2,12]{1,0} all-gather(%p), channel_id=1, dimensions={1}",
            "%r = f32[2,12]{1,0} concatenate(%p, %p, %p), dimensions={1}",
        ),
        (
            "%r = f32[1,4]{1,0} reduce-scatter(%p), dimensions={0}, to_apply=%add",
            "%r = f32[1,4]{1,0} slice(%p), slice={[0:1], [0:4]}",
        ),
        (
            "%r = f32[2,4]{1,0} collective-permute(%p), source_target_pairs={{0,1}}",
            "%r = f32[2,4]{1,0} reshape(%p)",
        ),
        (
            "%r = (f32[2,4]{1,0}, f32[2,4]{1,0}) all-to-all(%p, %p), channel_id=1",
            "%r = (f32[2,4]{1,0}, f32[2,4]{1,0}) tuple(%p, %p)",
        ),
        ("%i = u32[] partition-id()", "%i = u32[] constant(0)"),
        ("%r = f32[2,4]{1,0} add(%p, %p)", "%r = f32[2,4]{1,0} add(%p, %p)"),
    ],
)
def test_collective_becomes_what_needs_no_other_device(line: str, expected: str) -> None:
    assert rewritten(line) == expected


def test_gather_of_an_element_of_a_tuple() -> None:
    pair = "  %t = (f32[2,4]{1,0}, bf16[3]{0}) tuple(%p, %q)\n"
    line = "%r = bf16[6]{0} all-gather(%t#1), dimensions={0}"
    assert rewritten(line, pair) == "%r = bf16[6]{0} concatenate(%t#1, %t#1), dimensions={0}"


def test_collective_that_is_not_known_is_refused() -> None:
    with pytest.raises(
        CompileError, match="expected a collective that is known, got 'all-reduce-st"
    ):
        rewritten("%r = f32[2,4]{1,0} all-reduce-start(%p), channel_id=1")


def test_part_of_a_program_without_collectives_computes_the_part() -> None:
    def rows(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.tanh(x @ w)

    step = alpa.parallelize(
        rows, alpa.DataParallel(mesh_shape=(8,)), batch_argnums=(0,), donate_argnums=()
    )
    x = jnp.arange(64.0).reshape(16, 4) / 64
    w = jnp.arange(20.0).reshape(4, 5) / 20
    lowered = step.lower(x, w)
    assert isinstance(lowered, Lowered)
    mesh = lowered.plan.mesh.over(list(jax.devices()))
    part = alone(lowered.program, mesh)
    assert [aval.shape for aval in part.in_avals] == [(2, 4), (4, 5)]
    compiled = compile_program(part, LogicalMesh.of_shape((1,)).over([jax.devices()[0]]))
    np.testing.assert_allclose(compiled(x[:2], w), rows(x[:2], w), rtol=1e-5)


def test_part_of_a_program_with_collectives_runs() -> None:
    def loss(w: jax.Array, x: jax.Array) -> jax.Array:
        return w - jax.grad(lambda w: jnp.mean((x @ w) ** 2))(w)

    step = alpa.parallelize(loss, alpa.DataParallel(mesh_shape=(8,)), donate_argnums=())
    w, x = jnp.ones((4, 5)), jnp.ones((16, 4))
    lowered = step.lower(w, x)
    assert isinstance(lowered, Lowered)
    assert lowered.plan.collective_bytes()
    part = alone(lowered.program, lowered.plan.mesh.over(list(jax.devices())))
    compiled = compile_program(part, LogicalMesh.of_shape((1,)).over([jax.devices()[0]]))
    assert "all-reduce" not in (compiled.as_text() or "all-reduce")
    assert compiled(w, x[:2]).shape == (4, 5)
