// Runs a pipeline schedule on a clock: when every task starts and ends, given how long tasks and
// transfers take. Meshes work through their lists in order; a transfer starts when its task ends
// and shares its link, one each way between two stages, with nothing but other transfers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace alpa {

enum class TaskPhase { Forward, Backward, Update };

struct PipelineTask {
  int32_t stage = 0;
  TaskPhase phase = TaskPhase::Forward;
  int32_t microbatch = 0; ///< 0 for the update, which runs once
};

struct StageDurations {
  double forwardSeconds = 0;
  double backwardSeconds = 0;
  double updateSeconds = 0;
  double sendForwardSeconds = 0;  ///< to the next stage; unused by the last
  double sendBackwardSeconds = 0; ///< to the previous stage; unused by the first
};

struct TaskTime {
  double startSeconds = 0;
  double endSeconds = 0;
};

struct SimulatedPipeline {
  std::vector<std::vector<TaskTime>> times; ///< as the tasks: per mesh, in order
  double makespanSeconds = 0;
  double bubbleFraction = 0;         ///< idle part of all meshes' time until the makespan
  std::vector<int32_t> peakInFlight; ///< per stage: microbatches whose activations are held
};

/// `meshes` lists the tasks of every mesh in order. Forward tasks depend on the previous stage's,
/// backward tasks on the next stage's and on their own forward, an update on all earlier tasks of
/// its mesh. Activations are held from the start of a forward to the end of its backward, or of
/// itself where the schedule has no backward of that stage. Throws std::invalid_argument for a
/// task that is unknown, twice there or lacking, and for schedules that deadlock.
SimulatedPipeline simulatePipeline(const std::vector<std::vector<PipelineTask>> &meshes,
                                   const std::vector<StageDurations> &stages,
                                   int32_t numMicrobatches);

} // namespace alpa
