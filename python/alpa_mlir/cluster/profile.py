"""What `alpa-plan profile` found of the devices of a process, and the files it is kept in.

A profile is of one kind of device under one JAX: both decide how fast ops are. The number of
devices belongs to it too: virtual CPU devices share cores, and collectives are over them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import platformdirs
from annotated_types import MinLen

from alpa_mlir.cluster.efficiency import Efficiency
from alpa_mlir.cluster.link import Link
from alpa_mlir.errors import ClusterError
from alpa_mlir.fields import (
    Checked,
    Count,
    MemoryBytes,
    Rate,
    Seconds,
    WholeNumber,
    check,
    read,
    without_version,
)
from alpa_mlir.files import write_text

_VERSION = 1
_ADVICE = "measure again with `alpa-plan profile`"


@dataclass(frozen=True)
class ProfileKey(Checked):
    """What a profile is of; `jax_version` is JAX's own, the platform "cpu" or "cuda"."""

    device_kind: str
    platform: str
    jax_version: str
    num_devices: Count

    @staticmethod
    def of(devices: Sequence[Any]) -> ProfileKey:
        """Of these devices, under the JAX of this process."""
        first = devices[0]
        platform = "cuda" if first.platform == "gpu" else first.platform
        return ProfileKey(first.device_kind, platform, jax.__version__, len(devices))

    @property
    def path(self) -> Path:
        """Where its profile is kept unless told otherwise: below the user's folder of settings."""
        kind = re.sub(r"[^a-z0-9]+", "-", self.device_kind.lower()).strip("-")
        name = f"{self.platform}-{kind}-x{self.num_devices}-jax-{self.jax_version}.json"
        return platformdirs.user_config_path("alpa_mlir") / "profiles" / name


@dataclass(frozen=True)
class Profile(Checked):
    """Measurements of devices, as `Cluster.local` uses them.

    Attributes:
      date: of the day it was measured, ISO 8601.
      versions: of what it was measured with, by name.
      seconds: that measuring took; num_ops: how many ops were measured, those held out included.
      peak_flops: the highest rate that was reached, by MLIR element type.
      memory_bytes_per_second: of the largest elementwise op, which no cache holds.
      memory_bytes: of a device, where it says so.
      link: that tells the times of collectives best; None where there is one device.
    """

    key: ProfileKey
    date: str
    versions: Mapping[str, str]
    seconds: Seconds
    num_ops: WholeNumber
    peak_flops: Annotated[Mapping[str, Rate], MinLen(1)]
    memory_bytes_per_second: Rate
    memory_bytes: MemoryBytes | None
    link: Link | None
    efficiency: Efficiency

    def __post_init__(self) -> None:
        check(self, ClusterError)

    def save(self, path: str | Path) -> None:
        """Writes it as JSON; makes the folder where there is none.

        Raises:
          ClusterError: the file cannot be written.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClusterError(
                f"cannot write the profile {path}: {error}; name another file"
            ) from None
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=1)
        write_text(path, text + "\n", ClusterError)

    @staticmethod
    def load(path: str | Path) -> Profile:
        """Reads what `save` wrote.

        Raises:
          ClusterError: the file is no profile of this version.
        """
        try:
            data = json.loads(Path(path).read_text())
            values = without_version(data, _VERSION, "a profile", ClusterError, _ADVICE)
            return read(Profile, values, ClusterError, _ADVICE)
        except (OSError, ValueError, RecursionError, ClusterError) as error:
            raise ClusterError(f"cannot read the profile {path}: {error}") from None


def find_profile(devices: Sequence[Any]) -> Profile | None:
    """What was measured of such devices and kept in the usual place.

    Raises:
      ClusterError: the file is malformed.
    """
    key = ProfileKey.of(devices)
    return Profile.load(key.path) if key.path.exists() else None
