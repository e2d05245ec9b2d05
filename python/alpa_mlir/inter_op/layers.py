"""A step whose ops are in layers: what stages are cut from.

Microbatches come first, since their number changes the size of every op (DESIGN, "The way of a
program"). The passes do the work; here is which of them run on what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from alpa_mlir._native import Diagnostic, FunctionSummary, Module
from alpa_mlir.errors import PassError
from alpa_mlir.intra_op.shard import NormalizedModule, normalize_module
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.functions import is_of_stage, phase_of
from alpa_mlir.ir.passes import messages, run_passes


def unroll_layers(normal: NormalizedModule) -> NormalizedModule:
    """The step with its loops over layers as the layers they stand for."""
    if not normal.module.has_loops():
        return normal
    module = normal.module.clone()
    before = module.content_hash()
    remarks = run_passes(module, "alpa-unroll-loops")
    unrolled = normal if module.content_hash() == before else normalize_module(module)
    return replace(unrolled, remarks=normal.remarks + messages(remarks))


def join_chunks(step: NormalizedModule, num_microbatches: int) -> tuple[Module, list[Diagnostic]]:
    """The step without loops over chunks of the batch that so many microbatches would cut, and
    what was said of each.
    """
    module = step.module.clone()
    remarks = run_passes(module, f"alpa-join-chunks{{num-microbatches={num_microbatches}}}")
    return (normalize_module(module).module if remarks else module), remarks


@dataclass(frozen=True, eq=False)
class StageModule:
    """One stage as a program of its own: forward and backward of a microbatch, and the update.

    Attributes:
      module: one public function, with sharding rules; to be cloned by whoever changes it.
    """

    module: Module

    @staticmethod
    def extract(split: Module, stage: int) -> StageModule:
        """From a step cut into stages, which it becomes."""
        run_passes(split, f"alpa-extract-stage{{stage={stage}}}", "alpa-normalize")
        jaxlib.give_rules(split)
        return StageModule(split)

    @cached_property
    def text(self) -> str:
        """For what is planned: without locations, which tell equal stages apart, and without the
        elements of large constants, which no price depends on."""
        return self.module.text(with_data=False)

    @cached_property
    def function(self) -> FunctionSummary:
        """Its arguments and results, with the names of values (`alpa.value`)."""
        return self.module.functions()[0]

    @cached_property
    def key(self) -> str:
        """Equal for stages that do the same on values of the same types, whatever their names."""
        return self.module.structure_key()


@dataclass(frozen=True, eq=False)
class SplitStep:
    """A step as one function per stage and phase.

    Attributes:
      first_layers: the first layer of every stage.
    """

    module: Module
    first_layers: tuple[int, ...]
    num_microbatches: int
    _stages: dict[int, StageModule] = field(
        default_factory=dict[int, StageModule], init=False, repr=False
    )

    @cached_property
    def functions(self) -> tuple[FunctionSummary, ...]:
        """Of stages and prologue (`alpa.stage`), and @microbatch and @update that call them."""
        return tuple(self.module.functions())

    @property
    def num_stages(self) -> int:
        return len(self.first_layers)

    def function(self, name: str) -> FunctionSummary:
        return next(function for function in self.functions if function.name == name)

    def stage_functions(self) -> list[FunctionSummary]:
        return [function for function in self.functions if is_of_stage(function)]

    @property
    def has_backward(self) -> bool:
        return any(phase_of(function) == "backward" for function in self.stage_functions())

    def stage(self, number: int) -> StageModule:
        """The stage alone."""
        if number not in self._stages:
            self._stages[number] = StageModule.extract(self.module.clone(), number)
        return self._stages[number]


@dataclass(frozen=True, eq=False)
class LayeredStep:
    """A step split into microbatches, every op in a layer or in none.

    Attributes:
      remarks: what was found: ops and FLOPs of each phase, parameters without a gradient, ...
    """

    module: Module
    num_microbatches: int
    num_layers: int
    remarks: tuple[str, ...] = ()

    @staticmethod
    def make(
        step: NormalizedModule,
        num_microbatches: int,
        num_layers: int = 0,
        allow_local_statistics: bool = False,
    ) -> LayeredStep:
        """Splits the batch, then clusters ops into layers (0: as many as seem useful).

        Raises:
          PassError: examples of the batch meet, the number does not divide it, or there are fewer
            products than layers.
        """
        split = (
            f"num-microbatches={num_microbatches} "
            f"allow-local-statistics={str(allow_local_statistics).lower()}"
        )
        try:
            module, joined = join_chunks(step, num_microbatches)
            remarks = run_passes(
                module,
                "alpa-analyze-training",
                f"alpa-split-microbatches{{{split}}}",
                f"alpa-cluster-layers{{num-layers={num_layers}}}",
            )
        except PassError as error:  # which names the option as passes spell it
            text = str(error).replace("allow-local-statistics=true", "allow_local_statistics=True")
            raise PassError(text) from None
        # What each sum over the batch is would fill pages.
        told = [*joined, *(r for r in remarks if r.code != "frontier")]
        return LayeredStep(
            module, num_microbatches, max(module.num_layers(), 1), tuple(r.message for r in told)
        )

    def split(self, first_layers: Sequence[int], rematerialized: Sequence[int] = ()) -> SplitStep:
        """Cuts the layers into stages; `rematerialized` ones compute their forward again.

        Raises:
          PassError: the layers do not ascend from 0, or an op reads what a later stage makes.
        """
        module = self.module.clone()
        options = _cuts(first_layers, rematerialized)
        run_passes(module, f"alpa-split-stages{{{options}}}", "alpa-verify-stages")
        return SplitStep(module, tuple(first_layers), self.num_microbatches)

    def range(
        self, first_layer: int, end_layer: int, is_rematerialized: bool = False
    ) -> StageModule:
        """Layers [first_layer, end_layer) as a stage, whatever the stages around it."""
        bounds = sorted({0, first_layer, end_layer} - {self.num_layers})
        stage = bounds.index(first_layer)
        module = self.module.clone()
        options = _cuts(bounds, [stage] if is_rematerialized else []) + f" only={stage}"
        run_passes(module, f"alpa-split-stages{{{options}}}")
        return StageModule.extract(module, stage)


def _cuts(first_layers: Sequence[int], rematerialized: Sequence[int]) -> str:
    options = f"first-layers={','.join(map(str, first_layers))}"
    if rematerialized:
        options += f" rematerialize={','.join(map(str, rematerialized))}"
    return options


class LayeredSteps:
    """One step in layers, for the numbers of microbatches and layers that are asked for.

    What was cut once is kept: the search and the lowering want the same step.

    Attributes:
      normal: the step as it was normalised, before any cut.
      is_unrolled: whether its loops over layers are no more.
    """

    def __init__(self, normal: NormalizedModule, is_unrolled: bool = False) -> None:
        self.normal = normal
        self.is_unrolled = is_unrolled
        self._known: dict[tuple[int, int, bool], LayeredStep] = {}

    @cached_property
    def unrolled(self) -> NormalizedModule:
        """The step with its loops over layers as the layers they stand for."""
        return self.normal if self.is_unrolled else unroll_layers(self.normal)

    def get(
        self, num_microbatches: int, num_layers: int, allow_local_statistics: bool
    ) -> LayeredStep:
        """Raises what `LayeredStep.make` raises."""
        key = (num_microbatches, num_layers, allow_local_statistics)
        if key not in self._known:
            step = LayeredStep.make(self.unrolled, *key)
            self._known[key] = step
            self._known[num_microbatches, step.num_layers, allow_local_statistics] = step
        return self._known[key]
