// The energy problem (Perseus, SOSP'24): computations in a DAG, each with a choice of frequencies
// that trade its seconds for joules, on devices that draw power while they wait. Wanted are the
// choices of least energy for every length of the step.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace alpa {

/// One way to run a computation, as measured.
struct FrequencyChoice {
  double megahertz = 0;
  double seconds = 0;
  double joules = 0; ///< all that the device draws in these seconds
};

/// What computations have in common that differ in their microbatch only.
struct ComputationKind {
  std::string name; ///< for people: errors say it
  std::vector<FrequencyChoice> choices;
  bool isFixed = false; ///< exactly one choice, of any frequency: a transfer, loading of data
};

struct Computation {
  int32_t kind = 0;
  int32_t device = kNoDevice; ///< which draws its power while it runs; kNoDevice for a link

  static constexpr int32_t kNoDevice = -1;
};

struct EnergyProblem {
  std::vector<ComputationKind> kinds;
  std::vector<Computation> computations;
  std::vector<std::pair<int32_t, int32_t>>
      dependencies;                  ///< the first ends before the second begins
  std::vector<double> blockingWatts; ///< per device, while it waits
  double unitSeconds = 0.001;        ///< times are planned in whole units

  /// Throws std::invalid_argument naming what breaks the form: a kind without choices or with one
  /// only, times that do not fall as frequencies rise, energies that are negative, indices out of
  /// range, a circle of dependencies.
  void check() const;

  /// What the computation's device would draw if it waited; 0 for a link.
  double wattsOf(const Computation &computation) const;
  /// Watts of all devices together while they wait.
  double totalBlockingWatts() const;
  /// Whole units that fit into a time, as the reference rounds: floor, on the quotient of floats.
  int32_t unitsOf(double seconds) const;
};

/// Joules less what the device would draw in that time while it waits.
inline double effectiveJoules(const FrequencyChoice &choice, double blockingWatts) {
  return choice.joules - blockingWatts * choice.seconds;
}

/// Computations, each after those it depends on. Throws std::invalid_argument if there is a circle.
std::vector<int32_t> topologicalOrder(const EnergyProblem &problem);

} // namespace alpa
