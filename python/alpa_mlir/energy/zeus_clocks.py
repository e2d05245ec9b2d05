"""The door to `zeus` (extra `energy`): clocks and energy of NVIDIA's devices, through NVML."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from alpa_mlir.errors import EnergyError

_INSTALL = "pip install 'alpa_mlir[energy]'"
_RESTORE = (
    "import sys; from zeus.device import get_gpus; gpus = get_gpus(); "
    "[gpus.reset_gpu_locked_clocks(int(i)) for i in sys.argv[1:]]"
)


class ZeusClocks:
    """The devices of a pipeline's stages: their clocks, and the energy they draw."""

    def __init__(self, devices_of_stage: Sequence[Sequence[Any]]) -> None:
        """Raises EnergyError where zeus, a device or the permission to set clocks is lacking.

        Args:
          devices_of_stage: as JAX has them.
        """
        self._gpus = _gpus()
        self._devices = [[_number(device) for device in stage] for stage in devices_of_stage]
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

    def joules(self, stage: int) -> float:
        """Raises EnergyError where a device does not count what it draws."""
        return sum(self._device_joules(device) for device in self._devices[stage])

    def restore(self) -> None:
        for device in self._all():
            self._gpus.reset_gpu_locked_clocks(device)

    def restore_command(self) -> list[str]:
        return [sys.executable, "-c", _RESTORE, *map(str, self._all())]

    def _device_joules(self, device: int) -> float:
        if not self._gpus.supports_get_total_energy_consumption(device):
            raise EnergyError(
                f"expected a device that counts the energy it draws, got device {device}, "
                f"{self._gpus.get_name(device)}; NVIDIA's do from Volta on, for others "
                "EnergyProfile.from_model estimates"
            )
        return self._gpus.get_total_energy_consumption(device) / 1e3  # of millijoules

    def _all(self) -> list[int]:
        return sorted({device for devices in self._devices for device in devices})


def _gpus() -> Any:
    try:
        return import_module("zeus.device").get_gpus()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "zeus":
            raise EnergyError(f"expected zeus to be whole, got: {error}; {_INSTALL}") from None
        raise EnergyError(f"expected the package zeus, got none; {_INSTALL}") from None
    except Exception as error:  # no driver, no device
        raise EnergyError(
            f"expected devices that zeus can read, got: {error}; run where NVIDIA's driver is"
        ) from None


def _number(device: Any) -> int:
    """That this machine has for it."""
    if device.platform not in ("gpu", "cuda"):
        raise EnergyError(
            f"expected NVIDIA GPUs, whose clocks zeus sets, got '{device.platform}' devices; pass "
            "an object that reads and sets those"
        )
    return device.local_hardware_id
