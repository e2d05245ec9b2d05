// The stage problem: cut the layers into stages and give each a submesh, so that a pipelined step
// takes the least time (Alpa, OSDI'22, equation 2). Beyond the paper it counts transfers between
// stages, the update phase, and the memory of microbatches in flight under the schedule.
// `evaluate` is the judge of answers; StageDp finds them and shares no code with it.
#pragma once

#include "core/stages/ScheduleKind.h"
#include <algorithm>
#include <cstdint>
#include <vector>

namespace alpa {

/// `numNodes` whole nodes, or `devicesPerNode` devices inside one.
struct Submesh {
  int32_t numNodes = 1;
  int32_t devicesPerNode = 1;

  int32_t numDevices() const { return numNodes * devicesPerNode; }
};

/// One way to run layers [firstLayer, endLayer) as a stage. There may be many for the same layers
/// and submesh: logical meshes, or more memory for less time.
struct StageCandidate {
  int32_t firstLayer = 0;
  int32_t endLayer = 0;
  int32_t submesh = 0;         ///< index into StageProblem::submeshes
  double computeSeconds = 0;   ///< forward and backward of one microbatch
  double updateSeconds = 0;    ///< update phase, once per step
  int64_t residentBytes = 0;   ///< per device: parameters, optimizer state, gradients, workspace
  int64_t activationBytes = 0; ///< per device and microbatch in flight
  int64_t updateBytes = 0;     ///< per device at the peak of the update, when nothing is in flight

  /// Peak on a device that holds activations of so many microbatches.
  int64_t bytes(int64_t numInFlight) const {
    return std::max(residentBytes + numInFlight * activationBytes, updateBytes);
  }
};

/// What a plan costs: stepSeconds = latency + (microbatches - 1) * period + update. The simulated
/// step is never longer where backwards and their transfers take a fixed multiple of forwards
/// (tested); otherwise it is a close estimate.
struct StageEvaluation {
  double latencySeconds = 0; ///< one microbatch through all stages and back, transfers included
  double periodSeconds = 0;  ///< time between microbatches, see stagePeriod
  double updateSeconds = 0;  ///< of the slowest stage
  double stepSeconds = 0;
  std::vector<int64_t> memoryBytes; ///< per stage, on each of its devices
};

struct StageProblem {
  int32_t numLayers = 0;
  Submesh cluster; ///< nodes, and devices in each
  std::vector<Submesh> submeshes;
  std::vector<StageCandidate> candidates;
  /// Seconds per microbatch, both directions, from the stage that ends at a layer to the next, by
  /// [end layer - 1][submesh][submesh of the next]. Empty where transfers cost nothing.
  std::vector<double> transferSeconds;
  int64_t memoryLimitBytes = 0; ///< per device
  int32_t numMicrobatches = 1;
  ScheduleKind schedule = ScheduleKind::OneFOneB;

  double transfer(int32_t endLayer, int32_t submesh, int32_t nextSubmesh) const;

  /// Throws std::invalid_argument naming the first field or candidate that breaks the form. The
  /// sizes of submeshes inside a node must divide one another: then any stages that use as many
  /// devices as there are can be placed (`placeStages`).
  void check() const;

  /// What the stages cost, one candidate each, first stage first. Throws std::invalid_argument
  /// with the rule they break: layers in order, all devices used, memory. The problem must be
  /// checked.
  StageEvaluation evaluate(const std::vector<int32_t> &stages) const;

  /// The first device of every stage, in the order of the cluster. The stages must be legal.
  std::vector<int32_t> placeStages(const std::vector<int32_t> &stages) const;
};

} // namespace alpa
