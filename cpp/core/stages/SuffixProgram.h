// Stages of least latency under limits on period and update: what the search over these limits
// (StageDp.cpp) asks for again and again.
#pragma once

#include "core/stages/StageProblem.h"
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

namespace alpa {

/// Upper ones, both ends included.
struct StageLimits {
  double periodSeconds;
  double updateSeconds;
};

/// The dynamic program for one pair of limits. `latencies[at(layer, submesh, units) + s - 1]` is
/// the least latency of a suffix that starts at `layer` on `submesh`, takes exactly `units` units
/// of devices and s stages; s = `numCounts` stands for that many or more. A unit is what the
/// submeshes in use are multiples of.
class SuffixProgram {
public:
  /// Unless it `countsStages`, stages need not fit into memory with those that follow.
  SuffixProgram(const StageProblem &problem, bool countsStages);

  /// The stages of least latency within the limits, or none.
  std::vector<int32_t> solve(StageLimits limits);

  bool fitsIntoMemory(const std::vector<int32_t> &stages) const;

private:
  struct State {
    int32_t layer, submesh, units, count;
  };
  /// The candidates for some layers on a submesh.
  struct Group {
    int32_t first, end, submesh;
    std::vector<int32_t> candidates;
  };
  /// What suffixes from a layer and submesh may take, ends included.
  struct Range {
    int32_t first = std::numeric_limits<int32_t>::max(), last = -1;
  };

  int32_t numSubmeshes() const { return static_cast<int32_t>(problem.submeshes.size()); }
  int32_t unitsOf(int32_t submesh) const {
    return problem.submeshes[submesh].numDevices() / devicesPerUnit;
  }
  void findSubmeshes();
  size_t row(int32_t layer, int32_t submesh) const {
    return static_cast<size_t>(layer) * numSubmeshes() + submesh;
  }
  size_t at(int32_t layer, int32_t submesh, int32_t units) const {
    return (row(layer, submesh) * (numUnits + 1) + units) * numCounts;
  }
  int32_t mostStagesToEnd(const StageCandidate &candidate) const;
  void findFastest(double updateLimit);
  void extend(size_t g, double periodLimit);
  std::optional<State> findStart() const;
  std::optional<State> findNext(const State &state, double periodLimit) const;
  int32_t findCandidate(const State &state, int32_t end, double updateLimit) const;
  std::vector<int32_t> trace(StageLimits limits) const;

  const StageProblem &problem;
  int32_t mostStages;
  int32_t numCounts = 1;
  int32_t devicesPerUnit = 1, numUnits = 0;
  std::vector<int32_t> used;                    ///< submeshes that candidates have
  std::vector<int32_t> stagesToEnd;             ///< per candidate: the most its memory allows
  std::vector<Group> groups;                    ///< that have candidates
  std::vector<std::vector<int32_t>> groupsFrom; ///< [row]: those that start there, by their end
  std::vector<double> fastest;                  ///< [group][count]: least compute time allowed
  std::vector<double> fastestOfGroup;           ///< over all counts
  std::vector<double> latencies;
  std::vector<Range> reachable; ///< [row]
  std::vector<double> times;    ///< of a stage and what it sends, by count; infinite where too long
};

} // namespace alpa
