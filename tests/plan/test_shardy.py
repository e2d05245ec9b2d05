"""The door to jaxlib's MLIR: forms of a module, marks, rules, Shardy's own collectives."""

from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir.errors import PassError
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.shardy_collectives import explicit_collectives
from alpa_mlir.stations import Lowered

STEP = """
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(
    %x: tensor<8x16xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>},
    %w: tensor<16x32xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"y"}, {}]>},
    %unused: tensor<4xf32>
) -> (tensor<8x32xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}) {
  %t = stablehlo.tanh %w {alpa.op = 3 : i64} : tensor<16x32xf32>
  %0 = stablehlo.dot_general %x, %t, contracting_dims = [1] x [0] {alpa.op = 4 : i64}
    : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  return %0 : tensor<8x32xf32>
}
"""


def test_generic_form_and_back_is_the_same_module() -> None:
    pretty = jaxlib.to_pretty(STEP)
    assert jaxlib.to_pretty(jaxlib.to_generic(STEP)) == pretty


def test_portable_artifact_is_read() -> None:
    exported = jax.export.export(jax.jit(lambda x: x + 1))(jnp.ones(4))
    assert "stablehlo.add" in jaxlib.to_generic(exported.mlir_module_serialized)


def test_text_that_is_no_module() -> None:
    with pytest.raises(PassError, match="Unable to parse"):
        jaxlib.to_generic("func.func @main(")


def test_explicit_collectives_of_a_product_split_in_its_contracting_dim() -> None:
    (collective,) = explicit_collectives(STEP)
    assert (collective.kind, collective.axes, collective.bytes) == ("all-reduce", ("y",), 1024)


@pytest.mark.parametrize(
    ("square", "num_missing_bytes"),
    [(lambda x: x * x, 0), (jnp.square, 4)],  # chlo.square hides the loss's all-reduce
    ids=["multiply", "chlo_square"],
)
def test_explicit_collectives_agree_with_the_plan(square: Any, num_missing_bytes: int) -> None:
    def step(params: Any, x: Any) -> Any:
        def loss(params: Any) -> Any:
            return square(jnp.tanh(x @ params[0]) @ params[1]).mean()

        value, grads = jax.value_and_grad(loss)(params)
        return [p - 0.1 * g for p, g in zip(params, grads, strict=True)], value

    struct = jax.ShapeDtypeStruct((256, 256), jnp.float32)
    method = alpa.DataParallel(mesh_shape=(8,))
    lowered = alpa.parallelize(step, method).lower([struct, struct], struct)
    assert isinstance(lowered, Lowered)
    found = explicit_collectives(lowered.program.text)
    assert {c.kind for c in found} == {"all-reduce"}
    total = sum(c.bytes for c in found) + num_missing_bytes
    assert lowered.plan.collective_bytes() == {"all-reduce": total}
