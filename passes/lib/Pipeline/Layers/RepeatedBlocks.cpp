// See the header. Blocks are told by their products; the ops between two of them are alike in all
// blocks, so a place is known by how far it is before the next product.

#include "RepeatedBlocks.h"
#include "llvm/ADT/StringMap.h"
#include <numeric>

namespace alpa {
namespace {

// Fewer blocks than these are cut inside, else there would be little to choose from.
constexpr int32_t kFewestBlocks = 8;
constexpr int32_t kMostBlocks = 128;

/// Equal for products that do the same to values of the same types.
std::string likeness(mlir::Operation *op) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << op->getName() << op->getOperandTypes() << op->getResultTypes();
  for (mlir::NamedAttribute attribute : op->getAttrs())
    if (!attribute.getName().getValue().starts_with("alpa."))
      stream << attribute.getName().getValue() << attribute.getValue();
  return text;
}

/// The bytes that cross a cut before each op.
std::vector<int64_t> bytesBefore(const LayerProblem &problem) {
  std::vector<int64_t> bytes(problem.ops.size() + 1);
  for (const LayerValue &value : problem.values) {
    bytes[value.producer + 1] += value.bytes;
    bytes[value.lastReader + 1] -= value.bytes;
  }
  std::partial_sum(bytes.begin(), bytes.end(), bytes.begin());
  return bytes;
}

} // namespace

RepeatedBlocks::RepeatedBlocks(const OuterOps &ops, const std::vector<int> &order) {
  llvm::StringMap<int32_t> numbers;
  std::vector<int32_t> kinds;
  for (auto [place, index] : llvm::enumerate(order))
    if (ops[index].isHeavy) {
      kinds.push_back(numbers.try_emplace(likeness(ops[index].op), numbers.size()).first->second);
      flops.push_back(ops[index].flops);
      heavy.push_back(static_cast<int32_t>(place));
    }
  blocks = findRepeats(kinds, flops);
}

double RepeatedBlocks::flopsOf(int32_t first, int32_t end) const {
  return std::accumulate(flops.begin() + first, flops.begin() + end, 0.0);
}

std::optional<int32_t> RepeatedBlocks::numLayers() const {
  const auto size = static_cast<int32_t>(flops.size());
  const double inBlocks = flopsOf(blocks.first, blocks.end());
  if (blocks.count < kFewestBlocks || 2 * inBlocks < flopsOf(0, size))
    return std::nullopt;
  const int32_t perLayer = (blocks.count + kMostBlocks - 1) / kMostBlocks;
  const double half = perLayer * inBlocks / blocks.count / 2;
  return (blocks.count + perLayer - 1) / perLayer + (flopsOf(0, blocks.first) > half) +
         (flopsOf(blocks.end(), size) > half);
}

std::vector<int32_t> RepeatedBlocks::startsFrom(int32_t start) const {
  auto next = std::lower_bound(heavy.begin(), heavy.end(), start);
  const int32_t before = *next - start;
  std::vector<int32_t> starts;
  for (auto number = static_cast<int32_t>(next - heavy.begin()); number < blocks.end();
       number += blocks.period)
    starts.push_back(heavy[number] - before);
  return starts;
}

void RepeatedBlocks::allowNoOtherStarts(LayerProblem &problem) const {
  const std::vector<int64_t> bytes = bytesBefore(problem);
  const int32_t first = blocks.first > 0 ? heavy[blocks.first - 1] + 1 : 0;
  std::vector<int32_t> best;
  int64_t fewest = 0;
  for (int32_t start = first; start <= heavy[blocks.first + blocks.period - 1]; ++start) {
    std::vector<int32_t> starts = startsFrom(start);
    if (!llvm::all_of(starts,
                      [&](int32_t i) { return i == first || problem.ops[i].mayStartLayer; }))
      continue;
    int64_t crossing = 0;
    for (int32_t i : llvm::drop_begin(starts)) // what crosses before the first is no cut
      crossing += bytes[i];
    if (best.empty() || crossing < fewest) {
      best = std::move(starts);
      fewest = crossing;
    }
  }
  if (best.empty())
    return;
  for (int32_t i = best.front() + 1; i <= heavy[blocks.end() - 1]; ++i)
    problem.ops[i].mayStartLayer = llvm::is_contained(best, i) && problem.ops[i].mayStartLayer;
}

} // namespace alpa
