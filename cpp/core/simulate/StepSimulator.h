// Runs a step on a clock: tasks of several meshes and the transfers between them, which share
// links.
#pragma once

#include "core/simulate/LinkSharing.h"

#include <cstdint>
#include <vector>

namespace alpa {

struct StepTask {
  int32_t mesh = 0;
  double seconds = 0;
  std::vector<int32_t> afterTasks; ///< that must have ended, besides those before it on its mesh
  std::vector<int32_t> afterTransfers; ///< that must have arrived
};

struct StepTransfer {
  int32_t route = 0;
  double bytes = 0;
  int32_t afterTask = -1; ///< that makes what is sent; -1: it is there when the step begins
};

/// A mesh runs its tasks one by one in the order in which they stand here. So does a route its
/// transfers: each starts when what it sends is there and the one before it has arrived.
struct StepProblem {
  int32_t numMeshes = 0;
  std::vector<StepTask> tasks;
  std::vector<StepTransfer> transfers;
  std::vector<TransferRoute> routes;
  std::vector<double> linkBytesPerSecond;

  /// Throws std::invalid_argument for what is unknown, negative or infinite. Whether tasks wait for
  /// one another for ever, the simulation shows.
  void check() const;
};

struct TaskTime {
  double startSeconds = 0;
  double endSeconds = 0;
};

struct TransferTime {
  double readySeconds = 0; ///< when what is sent is there
  double startSeconds = 0;
  double endSeconds = 0;
};

/// A time in which a transfer had one speed, as of `LinkSharing`.
struct TransferPiece {
  int32_t transfer = 0;
  double startSeconds = 0;
  double endSeconds = 0;
  double speed = 0;
};

struct SimulatedStep {
  std::vector<TaskTime> tasks;
  std::vector<TransferTime> transfers;
  std::vector<TransferPiece> pieces; ///< in the order in which they end
  /// The next task of every mesh that waits for ever; then the times above are not all known.
  std::vector<int32_t> waitingTasks;
};

SimulatedStep simulateStep(const StepProblem &problem);

} // namespace alpa
