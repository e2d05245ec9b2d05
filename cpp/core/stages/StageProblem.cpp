#include "core/stages/StageProblem.h"

#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

[[noreturn]] void fail(const std::string &where, const std::string &what) {
  throw std::invalid_argument(where + ": " + what);
}

std::string text(const Submesh &submesh) {
  return "(" + std::to_string(submesh.numNodes) + ", " + std::to_string(submesh.devicesPerNode) +
         ")";
}

bool isTime(double seconds) { return std::isfinite(seconds) && seconds >= 0; }

void checkSubmeshes(const StageProblem &problem) {
  const Submesh &cluster = problem.cluster;
  if (cluster.numNodes < 1 || cluster.devicesPerNode < 1)
    fail("cluster", "expected at least one node and one device, got " + text(cluster));
  std::vector<int32_t> sizes = {cluster.devicesPerNode};
  for (const Submesh &submesh : problem.submeshes) {
    bool isWithin = submesh.numNodes >= 1 && submesh.numNodes <= cluster.numNodes &&
                    submesh.devicesPerNode >= 1 &&
                    (submesh.numNodes == 1 || submesh.devicesPerNode == cluster.devicesPerNode);
    if (!isWithin)
      fail("submesh " + text(submesh),
           "expected whole nodes, or part of one node, of the cluster " + text(cluster));
    sizes.push_back(submesh.devicesPerNode);
  }
  std::sort(sizes.begin(), sizes.end());
  for (size_t i = 1; i < sizes.size(); ++i)
    if (sizes[i] % sizes[i - 1] != 0)
      fail("submeshes", "expected sizes within a node of which each divides the next, got " +
                            std::to_string(sizes[i - 1]) + " and " + std::to_string(sizes[i]) +
                            ": leave one out and solve once with each");
}

void checkCandidate(const StageProblem &problem, const StageCandidate &candidate, size_t index) {
  const std::string where = "candidate " + std::to_string(index);
  if (candidate.firstLayer < 0 || candidate.firstLayer >= candidate.endLayer ||
      candidate.endLayer > problem.numLayers)
    fail(where, "expected layers with 0 <= first < end <= " + std::to_string(problem.numLayers) +
                    ", got [" + std::to_string(candidate.firstLayer) + ", " +
                    std::to_string(candidate.endLayer) + ")");
  if (candidate.submesh < 0 || static_cast<size_t>(candidate.submesh) >= problem.submeshes.size())
    fail(where, "expected a submesh below " + std::to_string(problem.submeshes.size()) + ", got " +
                    std::to_string(candidate.submesh));
  if (!isTime(candidate.computeSeconds) || !isTime(candidate.updateSeconds))
    fail(where, "expected finite seconds of at least 0, got " +
                    std::to_string(candidate.computeSeconds) + " and " +
                    std::to_string(candidate.updateSeconds));
  constexpr int64_t kMaxBytes = int64_t{1} << 50;
  for (int64_t bytes : {candidate.residentBytes, candidate.activationBytes, candidate.updateBytes})
    if (bytes < 0 || bytes > kMaxBytes)
      fail(where, "expected bytes from 0 to 2^50, got " + std::to_string(bytes));
}

/// Stages take the layers in order and leave none over.
void verifyLayers(const StageProblem &problem, const std::vector<int32_t> &stages) {
  int32_t layer = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string where = "stage " + std::to_string(i);
    if (stages[i] < 0 || static_cast<size_t>(stages[i]) >= problem.candidates.size())
      fail(where, "expected a candidate below " + std::to_string(problem.candidates.size()) +
                      ", got " + std::to_string(stages[i]));
    const StageCandidate &candidate = problem.candidates[stages[i]];
    if (candidate.firstLayer != layer)
      fail(where, "expected to start at layer " + std::to_string(layer) + ", got " +
                      std::to_string(candidate.firstLayer));
    layer = candidate.endLayer;
  }
  if (layer != problem.numLayers)
    fail("stages", "expected to end at layer " + std::to_string(problem.numLayers) + ", got " +
                       std::to_string(layer));
}

} // namespace

double StageProblem::transfer(int32_t endLayer, int32_t submesh, int32_t nextSubmesh) const {
  if (transferSeconds.empty())
    return 0;
  return transferSeconds[((endLayer - 1) * submeshes.size() + submesh) * submeshes.size() +
                         nextSubmesh];
}

void StageProblem::check() const {
  if (numLayers < 1)
    fail("layers", "expected at least 1, got " + std::to_string(numLayers));
  if (numMicrobatches < 1 || numMicrobatches > (1 << 20))
    fail("microbatches", "expected 1 to 2^20, got " + std::to_string(numMicrobatches));
  if (memoryLimitBytes < 0)
    fail("memory limit", "expected at least 0 bytes, got " + std::to_string(memoryLimitBytes));
  checkSubmeshes(*this);
  for (size_t i = 0; i < candidates.size(); ++i)
    checkCandidate(*this, candidates[i], i);
  size_t expected = (numLayers - 1) * submeshes.size() * submeshes.size();
  if (!transferSeconds.empty() && transferSeconds.size() != expected)
    fail("transfers",
         "expected (layers - 1) x submeshes x submeshes = " + std::to_string(expected) +
             " times, got " + std::to_string(transferSeconds.size()));
  if (!std::all_of(transferSeconds.begin(), transferSeconds.end(), isTime))
    fail("transfers", "expected finite seconds of at least 0");
}

StageEvaluation StageProblem::evaluate(const std::vector<int32_t> &stages) const {
  verifyLayers(*this, stages);
  StageEvaluation result;
  int32_t numDevices = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    const StageCandidate &stage = candidates[stages[i]];
    numDevices += submeshes[stage.submesh].numDevices();
    bool isLast = i + 1 == stages.size();
    double sent =
        isLast ? 0 : transfer(stage.endLayer, stage.submesh, candidates[stages[i + 1]].submesh);
    result.latencySeconds += stage.computeSeconds + sent;
    result.periodSeconds =
        std::max(result.periodSeconds, stagePeriod(schedule, stage.computeSeconds, sent));
    result.updateSeconds = std::max(result.updateSeconds, stage.updateSeconds);
    int32_t stagesToEnd = static_cast<int32_t>(stages.size() - i);
    int64_t bytes = stage.bytes(maxInFlight(schedule, stagesToEnd, numMicrobatches));
    if (bytes > memoryLimitBytes)
      fail("stage " + std::to_string(i), "expected at most " + std::to_string(memoryLimitBytes) +
                                             " bytes per device, got " + std::to_string(bytes));
    result.memoryBytes.push_back(bytes);
  }
  if (numDevices != cluster.numDevices())
    fail("stages", "expected to use all " + std::to_string(cluster.numDevices()) +
                       " devices, got " + std::to_string(numDevices));
  result.stepSeconds =
      result.latencySeconds + (numMicrobatches - 1) * result.periodSeconds + result.updateSeconds;
  return result;
}

// Largest first: each offset is a sum of sizes that the next size divides, so no submesh crosses a
// node border it should not (Alpa, theorem 1 of the appendix, for any chain of divisors).
std::vector<int32_t> StageProblem::placeStages(const std::vector<int32_t> &stages) const {
  auto size = [&](int32_t i) { return submeshes[candidates[stages[i]].submesh].numDevices(); };
  std::vector<int32_t> order(stages.size()), firstDevice(stages.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return size(a) > size(b); });
  int32_t offset = 0;
  for (int32_t stage : order) {
    firstDevice[stage] = offset;
    offset += size(stage);
  }
  return firstDevice;
}

} // namespace alpa
