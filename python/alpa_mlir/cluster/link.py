"""What joins devices, and nodes."""

from dataclasses import dataclass

from alpa_mlir.errors import ClusterError
from alpa_mlir.fields import Checked, Rate, Seconds, check


@dataclass(frozen=True)
class Link(Checked):
    """How data leaves a device or a node: a fixed time per collective, then a rate."""

    latency_seconds: Seconds
    bytes_per_second: Rate

    def __post_init__(self) -> None:
        check(self, ClusterError)
