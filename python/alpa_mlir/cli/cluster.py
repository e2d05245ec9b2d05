"""`--cluster`: a preset by name, a file, or the devices of this process."""

from __future__ import annotations

import os
from dataclasses import replace

import click
from click.shell_completion import CompletionItem

from alpa_mlir.cluster import Cluster
from alpa_mlir.cluster.presets import read_presets
from alpa_mlir.errors import ClusterError

_LOCAL = "local"


class ClusterName(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]: click 8.1 has none
    """Names of presets, which shells complete beside files."""

    name = "cluster"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = (_LOCAL, *read_presets())
        items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return items or [CompletionItem(incomplete, type="file")]


def find_cluster(name: str, num_nodes: int | None) -> Cluster:
    """The cluster that `--cluster` and `--num-nodes` name.

    Raises:
      ClusterError: there is none.
    """
    if name == _LOCAL:
        if num_nodes not in (None, 1):
            raise ClusterError(f"expected one node of the local cluster, got {num_nodes}")
        return Cluster.local()
    if name in read_presets():
        return Cluster.preset(name, num_nodes or 1)
    if not os.path.exists(name):
        raise ClusterError(
            f"expected local, a file, or one of {', '.join(read_presets())}, got {name}"
        )
    cluster = Cluster.load(name)
    return cluster if num_nodes is None else replace(cluster, num_nodes=num_nodes)
