// The pipeline schedules the planner knows, reduced to what costs and memory depend on. The order
// of tasks is in python/alpa_mlir/schedule.
#pragma once

#include <algorithm>
#include <cstdint>

namespace alpa {

enum class ScheduleKind {
  GPipe,         ///< all forwards, then all backwards
  OneFOneB,      ///< PipeDream-flush: a backward as soon as there is one
  EagerOneFOneB, ///< more forwards ahead, so that transfers overlap
  Inference,     ///< forwards only
};

/// How many microbatches a stage holds activations of at most. `stagesToEnd` counts the stage
/// itself: 1 for the last.
inline int32_t maxInFlight(ScheduleKind kind, int32_t stagesToEnd, int32_t numMicrobatches) {
  switch (kind) {
  case ScheduleKind::GPipe:
    return numMicrobatches;
  case ScheduleKind::OneFOneB:
    return std::min(numMicrobatches, stagesToEnd);
  case ScheduleKind::EagerOneFOneB:
    return std::min(numMicrobatches, 2 * stagesToEnd - 1);
  case ScheduleKind::Inference:
    break;
  }
  return 1;
}

/// What a stage adds to the time between two microbatches, given its own time and that of the
/// transfers to and from the next stage. With one microbatch in flight per stage to the end, the
/// way there and back paces the stage, and each transfer is on it. The other schedules run ahead
/// far enough to hide transfers, unless these are the slowest part.
inline double stagePeriod(ScheduleKind kind, double computeSeconds, double transferSeconds) {
  return kind == ScheduleKind::OneFOneB ? computeSeconds + transferSeconds
                                        : std::max(computeSeconds, transferSeconds);
}

} // namespace alpa
