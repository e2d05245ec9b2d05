#include "core/sharding/search/ImproveSearch.h"
#include "core/sharding/search/HelperThreads.h"

#include <algorithm>
#include <atomic>
#include <memory>

namespace alpa {
namespace {

const AscentSchedule kRegionSchedule = {60, 2, 0.01, 0.001};

/// Regions searched from the same answer before it changes. Independent of the threads, so that
/// these do not matter.
constexpr int32_t kBatchSize = 4;
constexpr int64_t kMaxRegionWork = 50'000'000;
constexpr double kMinRegionSize = 10;

} // namespace

ImproveSearch::ImproveSearch(const CoreGraph &graph, uint64_t seed, ShouldStop shouldStop)
    : graph(graph), shouldStop(std::move(shouldStop)), random(seed) {}

Region ImproveSearch::chooseRegion(const Guide &guide, int32_t kind) {
  auto size = static_cast<int32_t>(regionSize);
  if (kind == 0)
    return growRegion(graph, size, random);
  if (kind == 1)
    return rowRegion(graph, size, random);
  return excessRegion(graph, guide.excess, size, kind == 2 ? 1 : 4, random);
}

Assignment ImproveSearch::improve(std::vector<int32_t> choices, const Guide &guide, int64_t work,
                                  int32_t numThreads, const OnAnswer &onAnswer) {
  Assignment incumbent(graph, std::move(choices));
  int64_t until = spent + work;
  while (spent < until && !shouldStop()) {
    std::vector<Region> regions;
    std::vector<std::unique_ptr<BranchAndBound>> searches;
    for (int32_t kind = 0; kind < kBatchSize; ++kind) {
      regions.push_back(chooseRegion(guide, kind));
      searches.push_back(std::make_unique<BranchAndBound>(
          restrictTo(graph, incumbent, regions.back()),
          regionCost(graph, incumbent, regions.back()),
          BranchAndBound::Limits{std::min(work / (4 * kBatchSize), kMaxRegionWork), shouldStop}));
    }
    std::atomic<int32_t> next{0};
    runOnThreads(std::min(numThreads, kBatchSize), [&] {
      for (int32_t i = next++; i < kBatchSize; i = next++)
        searches[i]->run(kRegionSchedule, guide.prices);
    });

    int32_t numComplete = 0;
    for (int32_t i = 0; i < kBatchSize; ++i) {
      spent += searches[i]->work() + static_cast<int64_t>(graph.core.nodeCosts.size());
      numComplete += searches[i]->isComplete();
      if (!searches[i]->answer())
        continue;
      // Two regions may have used the same memory, or share an edge: each is judged after those
      // before it.
      Assignment moved = incumbent;
      moved.move(regions[i], *searches[i]->answer());
      if (!moved.isAllowed() || moved.cost() >= incumbent.cost())
        continue;
      incumbent = std::move(moved);
      onAnswer(incumbent);
    }
    regionSize *= numComplete == kBatchSize ? 1.1 : numComplete <= kBatchSize / 2 ? 0.9 : 1;
    regionSize =
        std::min(std::max(regionSize, kMinRegionSize), static_cast<double>(graph.core.numNodes()));
  }
  return incumbent;
}

Assignment ImproveSearch::mend(std::vector<int32_t> choices, const Guide &guide, int64_t work) {
  Assignment assignment(graph, std::move(choices));
  int64_t until = spent + work;
  while (!assignment.isAllowed() && spent < until && !shouldStop()) {
    bool isMended = assignment.numBlockedCosts() > 0 ? mendBlocked(assignment, guide)
                                                     : mendMemory(assignment, guide);
    mendSize = isMended ? std::max(mendSize / 1.1, 40.0) : mendSize * 1.1;
    mendSize = std::min(mendSize, static_cast<double>(graph.core.numNodes()));
  }
  return assignment;
}

/// Solves what is around a blocked pair, whatever memory that takes.
bool ImproveSearch::mendBlocked(Assignment &assignment, const Guide &guide) {
  std::vector<int32_t> nodes = assignment.blockedNodes();
  int32_t start = nodes[random() % nodes.size()];
  Region region = regionAround(graph, {start}, static_cast<int32_t>(mendSize));
  CoreProblem part = restrictTo(graph, assignment, region);
  for (int64_t &capacity : part.rowCapacities)
    capacity = kBlocked;
  return moveTo(assignment, region, part, kBlocked, guide);
}

/// Takes as little of the most exceeded row as some of its users can, and in no other row more than
/// is there or was taken before.
bool ImproveSearch::mendMemory(Assignment &assignment, const Guide &guide) {
  int32_t row = assignment.worstRow();
  Region region = usersRegion(graph, row, static_cast<int32_t>(mendSize), random);
  CoreProblem part = memoryProblem(graph, assignment, region, row);
  int64_t used = 0;
  for (size_t i = 0; i < region.size(); ++i)
    used += part.nodeCosts[part.nodeOffsets[i] + assignment.choices()[region[i]]];
  return moveTo(assignment, region, part, used, guide);
}

/// Whether `part`, the problem of the region, has an answer below `limit`, which is then taken.
bool ImproveSearch::moveTo(Assignment &assignment, const Region &region, const CoreProblem &part,
                           int64_t limit, const Guide &guide) {
  BranchAndBound search(part, limit, {kMaxRegionWork, shouldStop});
  search.run(kRegionSchedule, guide.prices);
  spent += search.work() + 1;
  if (!search.answer())
    return false;
  assignment.move(region, *search.answer());
  return true;
}

} // namespace alpa
