"""Nodes that can be bought, as data: a JSON file each, with its source.

A file has the `source` of its figures, the kinds of device that such a node has as JAX reports them
(`device_kinds`; in full, because an "H100 PCIe" has no NVLink and a "GH200" is no H200), and a
`cluster` as `Cluster.save` writes it, of one node. Rates are peaks; those of links are per
direction. `Cluster.load` reads files of your own.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_presets() -> dict[str, dict[str, Any]]:
    """The files by name of the cluster, in the order of their names."""
    found = sorted(
        (file for file in files(__name__).iterdir() if file.name.endswith(".json")),
        key=lambda file: file.name,
    )
    return {file.name.removesuffix(".json"): json.loads(file.read_text()) for file in found}
