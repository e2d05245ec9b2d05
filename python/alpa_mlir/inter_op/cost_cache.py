"""Costs of stages on disk, by digest of the question."""

from __future__ import annotations

from dataclasses import dataclass

from alpa_mlir.disk_cache import ABSENT, DiskCache, chosen_dir
from alpa_mlir.errors import PlanError
from alpa_mlir.inter_op.costs import StageCost
from alpa_mlir.options import SearchedPipeline


def cache_of(method: SearchedPipeline) -> CostCache | None:
    """Where a method keeps costs; None where it keeps none."""
    if method.cache_dir is None:
        return None
    return CostCache(DiskCache(chosen_dir(method.cache_dir)))


@dataclass
class CostCache:
    """Answers, None where nothing fits."""

    disk: DiskCache

    def read(self, digest: str) -> tuple[bool, StageCost | None]:
        """Whether it is there, and the answer; a damaged one is none, and is written anew."""
        data = self.disk.read(digest)
        if data is ABSENT:
            return False, None
        try:
            return True, None if data is None else StageCost.from_json(data)
        except PlanError:
            return False, None

    def write(self, digest: str, cost: StageCost | None) -> None:
        self.disk.write(digest, None if cost is None else cost.to_json())
