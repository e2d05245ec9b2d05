#include "core/simulate/PipelineSimulator.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

namespace alpa {
namespace {

std::string toString(const PipelineTask &task) {
  static const char *const names[] = {"forward", "backward", "update"};
  std::string text =
      std::string(names[static_cast<int>(task.phase)]) + " of stage " + std::to_string(task.stage);
  if (task.phase != TaskPhase::Update)
    text += ", microbatch " + std::to_string(task.microbatch);
  return text;
}

class Simulator {
public:
  Simulator(const std::vector<std::vector<PipelineTask>> &meshes,
            const std::vector<StageDurations> &stages, int32_t numMicrobatches)
      : meshes(meshes), stages(stages), numMicrobatches(numMicrobatches) {
    check();
  }

  SimulatedPipeline run() {
    result.times.resize(meshes.size());
    freeAt.resize(meshes.size());
    // A task's start depends on nothing that starts later, so the order of visits does not matter.
    bool hasMoved = true;
    while (hasMoved) {
      hasMoved = false;
      for (size_t mesh = 0; mesh < meshes.size(); ++mesh)
        while (advance(mesh))
          hasMoved = true;
    }
    reportDeadlock();
    summarize();
    return result;
  }

private:
  int32_t numStages() const { return static_cast<int32_t>(stages.size()); }
  size_t index(TaskPhase phase, int32_t stage, int32_t microbatch) const {
    return (static_cast<size_t>(phase) * stages.size() + stage) * numMicrobatches + microbatch;
  }
  size_t index(const PipelineTask &task) const {
    return index(task.phase, task.stage, task.microbatch);
  }

  void check();
  void checkTask(const PipelineTask &task);
  double duration(const PipelineTask &task) const;
  std::optional<double> readyAt(const PipelineTask &task) const;
  void send(const PipelineTask &task, double endSeconds);
  bool advance(size_t mesh);
  void reportDeadlock() const;
  void summarize();

  const std::vector<std::vector<PipelineTask>> &meshes;
  const std::vector<StageDurations> &stages;
  const int32_t numMicrobatches;
  std::vector<char> isScheduled;
  std::vector<double> endAt, arriveAt;           ///< per task; infinite until known
  std::vector<double> forwardLink, backwardLink; ///< per stage: when its outgoing link is free
  std::vector<double> freeAt;                    ///< per mesh
  SimulatedPipeline result;
};

void Simulator::checkTask(const PipelineTask &task) {
  int32_t count = task.phase == TaskPhase::Update ? 1 : numMicrobatches;
  if (task.stage < 0 || task.stage >= numStages() || task.microbatch < 0 ||
      task.microbatch >= count)
    throw std::invalid_argument(toString(task) + ": expected a stage below " +
                                std::to_string(numStages()) + " and a microbatch below " +
                                std::to_string(count));
  if (isScheduled[index(task)])
    throw std::invalid_argument(toString(task) + ": expected once, got twice");
  isScheduled[index(task)] = true;
}

void Simulator::check() {
  if (stages.empty() || numMicrobatches < 1)
    throw std::invalid_argument("pipeline: expected at least one stage and one microbatch, got " +
                                std::to_string(stages.size()) + " and " +
                                std::to_string(numMicrobatches));
  for (const StageDurations &stage : stages)
    for (double seconds : {stage.forwardSeconds, stage.backwardSeconds, stage.updateSeconds,
                           stage.sendForwardSeconds, stage.sendBackwardSeconds})
      if (!std::isfinite(seconds) || seconds < 0)
        throw std::invalid_argument("pipeline: expected finite durations of at least 0, got " +
                                    std::to_string(seconds));
  isScheduled.assign(3 * stages.size() * numMicrobatches, false);
  endAt.assign(isScheduled.size(), INFINITY);
  arriveAt.assign(isScheduled.size(), INFINITY);
  forwardLink.assign(stages.size(), 0);
  backwardLink.assign(stages.size(), 0);
  for (const std::vector<PipelineTask> &mesh : meshes)
    for (const PipelineTask &task : mesh)
      checkTask(task);
  bool hasBackward = false;
  for (int32_t stage = 0; stage < numStages(); ++stage)
    hasBackward |= isScheduled[index(TaskPhase::Backward, stage, 0)] != 0;
  for (int32_t stage = 0; stage < numStages(); ++stage)
    for (int32_t microbatch = 0; microbatch < numMicrobatches; ++microbatch)
      for (TaskPhase phase : {TaskPhase::Forward, TaskPhase::Backward})
        if ((phase == TaskPhase::Forward || hasBackward) &&
            !isScheduled[index(phase, stage, microbatch)])
          throw std::invalid_argument(toString({stage, phase, microbatch}) +
                                      ": expected on some mesh, got none");
}

double Simulator::duration(const PipelineTask &task) const {
  const StageDurations &stage = stages[task.stage];
  switch (task.phase) {
  case TaskPhase::Forward:
    return stage.forwardSeconds;
  case TaskPhase::Backward:
    return stage.backwardSeconds;
  case TaskPhase::Update:
    break;
  }
  return stage.updateSeconds;
}

/// When the inputs of a task are there; none while that is not known.
std::optional<double> Simulator::readyAt(const PipelineTask &task) const {
  double seconds = 0;
  auto await = [&](double known) { seconds = std::max(seconds, known); };
  if (task.phase == TaskPhase::Forward && task.stage > 0)
    await(arriveAt[index(TaskPhase::Forward, task.stage - 1, task.microbatch)]);
  if (task.phase == TaskPhase::Backward) {
    await(endAt[index(TaskPhase::Forward, task.stage, task.microbatch)]);
    if (task.stage + 1 < numStages())
      await(arriveAt[index(TaskPhase::Backward, task.stage + 1, task.microbatch)]);
  }
  if (task.phase == TaskPhase::Update)
    for (int32_t microbatch = 0; microbatch < numMicrobatches; ++microbatch)
      for (TaskPhase phase : {TaskPhase::Forward, TaskPhase::Backward})
        if (isScheduled[index(phase, task.stage, microbatch)])
          await(endAt[index(phase, task.stage, microbatch)]);
  return std::isinf(seconds) ? std::nullopt : std::optional(seconds);
}

void Simulator::send(const PipelineTask &task, double endSeconds) {
  if (task.phase == TaskPhase::Update)
    return;
  bool isForward = task.phase == TaskPhase::Forward;
  const StageDurations &stage = stages[task.stage];
  double &link = (isForward ? forwardLink : backwardLink)[task.stage];
  link = std::max(link, endSeconds) +
         (isForward ? stage.sendForwardSeconds : stage.sendBackwardSeconds);
  arriveAt[index(task)] = link;
}

/// Runs the next task of a mesh if its inputs are known.
bool Simulator::advance(size_t mesh) {
  std::vector<TaskTime> &times = result.times[mesh];
  if (times.size() == meshes[mesh].size())
    return false;
  const PipelineTask &task = meshes[mesh][times.size()];
  std::optional<double> ready = readyAt(task);
  if (!ready)
    return false;
  double start = std::max(*ready, freeAt[mesh]);
  double end = start + duration(task);
  times.push_back({start, end});
  freeAt[mesh] = end;
  endAt[index(task)] = end;
  send(task, end);
  return true;
}

void Simulator::reportDeadlock() const {
  std::string waiting;
  for (size_t mesh = 0; mesh < meshes.size(); ++mesh)
    if (result.times[mesh].size() < meshes[mesh].size())
      waiting += (waiting.empty() ? "" : ", ") + ("mesh " + std::to_string(mesh)) + " at " +
                 toString(meshes[mesh][result.times[mesh].size()]);
  if (!waiting.empty())
    throw std::invalid_argument("schedule: expected every task to run, got a deadlock: " + waiting);
}

void Simulator::summarize() {
  double busy = 0;
  std::vector<std::vector<std::pair<double, int32_t>>> changes(stages.size());
  for (size_t mesh = 0; mesh < meshes.size(); ++mesh)
    for (size_t i = 0; i < meshes[mesh].size(); ++i) {
      const PipelineTask &task = meshes[mesh][i];
      const TaskTime &time = result.times[mesh][i];
      result.makespanSeconds = std::max(result.makespanSeconds, time.endSeconds);
      busy += time.endSeconds - time.startSeconds;
      if (task.phase == TaskPhase::Forward) {
        size_t backward = index(TaskPhase::Backward, task.stage, task.microbatch);
        changes[task.stage].emplace_back(time.startSeconds, 1);
        changes[task.stage].emplace_back(isScheduled[backward] ? endAt[backward] : time.endSeconds,
                                         -1);
      }
    }
  if (result.makespanSeconds > 0)
    result.bubbleFraction = 1 - busy / (result.makespanSeconds * meshes.size());
  for (auto &events : changes) {
    std::sort(events.begin(), events.end()); // at equal times, releases first
    int32_t held = 0, peak = 0;
    for (auto [time, change] : events)
      peak = std::max(peak, held += change);
    result.peakInFlight.push_back(peak);
  }
}

} // namespace

SimulatedPipeline simulatePipeline(const std::vector<std::vector<PipelineTask>> &meshes,
                                   const std::vector<StageDurations> &stages,
                                   int32_t numMicrobatches) {
  return Simulator(meshes, stages, numMicrobatches).run();
}

} // namespace alpa
