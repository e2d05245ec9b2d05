"""Memory rows of a reduced problem: how far an answer exceeds them (exact), and as an LP matrix."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from alpa_mlir._native import CoreProblem


class MemoryRows:
    """The rows of a core, and the segments that use them."""

    def __init__(self, core: CoreProblem) -> None:
        self._core = core

    def excess(self, choices: NDArray[np.int32]) -> NDArray[np.int64]:
        """Bytes used above capacity in each row; at most 0 where the answer fits."""
        core = self._core
        used = core.segment_usages[core.segment_offsets[:-1] + choices[core.segment_node]]
        change = np.zeros(len(core.row_capacities) + 1, np.int64)
        np.add.at(change, core.segment_begin, used)
        np.add.at(change, core.segment_end, -used)
        return np.cumsum(change)[:-1] - core.row_capacities

    def violated_peaks(self, choices: NDArray[np.int32]) -> list[int]:
        """Rows that are exceeded and locally the most exceeded, worst first."""
        excess = self.excess(choices)
        padded = np.concatenate([[np.iinfo(np.int64).min], excess, [np.iinfo(np.int64).min]])
        is_peak = (excess > 0) & (excess > padded[:-2]) & (excess >= padded[2:])
        peaks = np.flatnonzero(is_peak)
        return peaks[np.argsort(-excess[peaks], kind="stable")].tolist()

    def scaled_rows(self, rows: NDArray[np.int64]) -> tuple[sp.csr_array, NDArray[np.float64]]:
        """The chosen rows over the strategies of all nodes, each divided by its largest entry."""
        core = self._core
        sizes = np.diff(core.segment_offsets)
        segment = np.repeat(np.arange(len(sizes)), sizes)
        column = (
            core.node_offsets[core.segment_node][segment]
            + np.arange(len(segment))
            - core.segment_offsets[segment]
        )
        entries: list[sp.csr_array] = []
        capacities: list[float] = []
        for row in rows:
            lives = (core.segment_begin <= row) & (row < core.segment_end)
            used = lives[segment] & (core.segment_usages > 0)
            values = core.segment_usages[used].astype(np.float64)
            largest = values.max(initial=1.0)
            index = (np.zeros(len(values), np.int64), column[used])
            entries.append(sp.csr_array((values / largest, index), shape=(1, len(core.node_costs))))
            capacities.append(float(core.row_capacities[row]) / largest)
        return sp.csr_array(sp.vstack(entries)), np.array(capacities)
