"""The door to `zeus` (extra `energy`): clocks and energy of NVIDIA's devices, through NVML."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from alpa_mlir.errors import EnergyError

_RESTORE = (
    "import sys; from zeus.device import get_gpus; gpus = get_gpus(); "
    "[gpus.reset_gpu_locked_clocks(int(i)) for i in sys.argv[1:]]"
)


class ZeusClocks:
    """The devices of a pipeline's stages, by their numbers on this machine."""

    def __init__(self, devices_of_stage: Sequence[Sequence[int]]) -> None:
        """Raises EnergyError where zeus, a device or the permission to set clocks is lacking."""
        self._devices = [list(devices) for devices in devices_of_stage]
        self._gpus = _gpus()
        try:
            self.restore()  # what may not be restored is not set
        except Exception as error:
            raise EnergyError(
                f"expected the permission to set clocks of devices {self._devices}, got: {error}; "
                "run as root or with CAP_SYS_ADMIN, or let zeusd do it"
            ) from None

    def set_megahertz(self, stage: int, megahertz: float) -> None:
        for device in self._devices[stage]:
            self._gpus.set_gpu_locked_clocks(device, round(megahertz), round(megahertz))

    def restore(self) -> None:
        for device in self._all():
            self._gpus.reset_gpu_locked_clocks(device)

    def restore_command(self) -> list[str]:
        return [sys.executable, "-c", _RESTORE, *map(str, self._all())]

    def _all(self) -> list[int]:
        return sorted({device for devices in self._devices for device in devices})


def _gpus() -> Any:
    try:
        return import_module("zeus.device").get_gpus()
    except ImportError:
        raise EnergyError(
            "expected the package zeus, got none; pip install 'alpa_mlir[energy]'"
        ) from None
    except Exception as error:  # no driver, no device
        raise EnergyError(f"expected devices that zeus can read, got: {error}") from None
