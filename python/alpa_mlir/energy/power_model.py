"""A power model where nothing can be measured: estimates, by kind of device.

Of a task that takes t seconds at the highest clock F, a part m waits for memory and stays as it is:

    t(f) = t (m + (1 - m) F / f)
    P(f) = P_blocking + (P_highest - P_blocking) (f / F) (V(f) / V(F))^2
    V(f) / V(F) = v + (1 - v) f / F

The dynamic power of CMOS is proportional to f V^2, and voltage falls about linearly with frequency
(Perseus, SOSP'24, and the references there).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alpa_mlir.errors import EnergyError
from alpa_mlir.fields import Checked, Fraction, Megahertz, Watts, check

_SLOWEST = 0.5  # of the highest clock: below, energy rises again


@dataclass(frozen=True)
class PowerModel(Checked):
    """One device.

    Attributes:
      highest_megahertz, step_megahertz: of the clocks that can be set.
      highest_watts: while it computes at the highest clock; blocking_watts: while it waits.
      memory_bound: the part m of a task's time; static_voltage: v above.
      source: of the figures.
    """

    highest_megahertz: Megahertz
    step_megahertz: Megahertz
    highest_watts: Watts
    blocking_watts: Watts
    source: str
    memory_bound: Fraction = 0.154
    static_voltage: Fraction = 0.49

    def __post_init__(self) -> None:
        check(self, EnergyError)
        if not 0 < self.step_megahertz <= self.highest_megahertz * (1 - _SLOWEST):
            raise EnergyError(
                "expected step_megahertz above 0 and at most half of highest_megahertz, got "
                f"{self.step_megahertz:g} and {self.highest_megahertz:g}"
            )

    def choices(self, seconds_at_highest: float) -> Iterator[tuple[float, float, float]]:
        """Megahertz, seconds and watts of a task at every clock."""
        for megahertz in self.megahertz():
            seconds = self.seconds(seconds_at_highest, megahertz)
            yield megahertz, seconds, self.watts(megahertz)

    def megahertz(self) -> list[float]:
        """The clocks to choose from, the highest first."""
        count = int(self.highest_megahertz * (1 - _SLOWEST) / self.step_megahertz)
        return [self.highest_megahertz - k * self.step_megahertz for k in range(count + 1)]

    def seconds(self, at_highest: float, megahertz: float) -> float:
        slower = self.highest_megahertz / megahertz
        return at_highest * (self.memory_bound + (1 - self.memory_bound) * slower)

    def watts(self, megahertz: float) -> float:
        part = megahertz / self.highest_megahertz
        voltage = self.static_voltage + (1 - self.static_voltage) * part
        dynamic = self.highest_watts - self.blocking_watts
        return self.blocking_watts + dynamic * part * voltage**2


# Highest power and clocks are those of NVIDIA's data sheets. The A100's blocking power was measured
# by Perseus' authors, whose profile of GPT-3 on it also gives m and v; others are taken to wait at
# the same part of their highest power.
_WAITING = 83.64 / 400
_SHEET = "estimate: NVIDIA's data sheet for power and clocks, shapes of Perseus' A100 profile"
# Highest clock and step in MHz, highest watts; models are made when asked for, because checking one
# loads pydantic.
_FIGURES = {
    "A100": (1410.0, 15.0, 400.0),
    "H100": (1980.0, 15.0, 700.0),
    "H200": (1980.0, 15.0, 700.0),
    "V100": (1530.0, 7.5, 300.0),
}


def power_model(device_kind: str) -> PowerModel:
    """The model of a kind of device.

    Raises:
      EnergyError: there is none.
    """
    for name, (megahertz, step, watts) in _FIGURES.items():
        if name in device_kind:
            return PowerModel(megahertz, step, watts, watts * _WAITING, _SHEET)
    raise EnergyError(
        f"expected a device of {', '.join(_FIGURES)}, got '{device_kind}'; describe its power with "
        "model=PowerModel(...)"
    )
