#include "core/sharding/search/DualAscent.h"

// The two loops that take nearly all of the time; 64-bit minima vectorize from AVX2 on. Sanitizers
// do not go with the dispatch at load time.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ALPA_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ALPA_VECTORIZED
#endif

#include <algorithm>
#include <cmath>

namespace alpa {
namespace {

/// Sums of scaled costs stay below this, so that they never reach what is blocked.
constexpr int64_t kMaxScaledTotal = int64_t{1} << 56;
constexpr int32_t kMaxShift = 20;

/// Beliefs of so many temperatures weigh nothing.
constexpr double kNegligible = 40;

/// out[c] = min over r of table[r, c] - rowMessage[r]. The inner loop runs over contiguous memory.
ALPA_VECTORIZED void columnMinima(const int64_t *table, const int64_t *rowMessage, int64_t *out,
                                  int32_t rows, int32_t columns) {
  std::fill(out, out + columns, INT64_MAX);
  for (int32_t r = 0; r < rows; ++r) {
    int64_t message = rowMessage[r];
    const int64_t *row = table + static_cast<int64_t>(r) * columns;
    for (int32_t c = 0; c < columns; ++c)
      out[c] = std::min(out[c], row[c] - message);
  }
}

/// out[r] = min over c of table[r, c] - columnMessage[c].
ALPA_VECTORIZED void rowMinima(const int64_t *table, const int64_t *columnMessage, int64_t *out,
                               int32_t rows, int32_t columns) {
  for (int32_t r = 0; r < rows; ++r) {
    const int64_t *row = table + static_cast<int64_t>(r) * columns;
    int64_t least = INT64_MAX;
    for (int32_t c = 0; c < columns; ++c)
      least = std::min(least, row[c] - columnMessage[c]);
    out[r] = least;
  }
}

int64_t largestAllowed(const std::vector<int64_t> &values, int64_t begin, int64_t end) {
  int64_t largest = 0;
  for (int64_t i = begin; i < end; ++i)
    if (values[i] < kBlocked)
      largest = std::max(largest, values[i]);
  return largest;
}

int32_t chooseShift(const CoreProblem &core) {
  int64_t total = 1;
  for (int32_t n = 0; n < core.numNodes(); ++n)
    total += largestAllowed(core.nodeCosts, core.nodeOffsets[n], core.nodeOffsets[n + 1]);
  for (int32_t e = 0; e < core.numEdges(); ++e)
    total += largestAllowed(core.edgeCosts, core.edgeOffsets[e], core.edgeOffsets[e + 1]);
  int32_t shift = 0;
  while (shift < kMaxShift && total < kMaxScaledTotal >> (shift + 1))
    ++shift;
  return shift;
}

int64_t floorDivide(int64_t value, int64_t divisor) {
  int64_t quotient = value / divisor;
  return quotient - (value % divisor < 0);
}

} // namespace

DualAscent::DualAscent(const CoreProblem &core) : core(core), shift(chooseShift(core)) {
  for (int64_t cost : core.nodeCosts)
    belief.push_back(scaled(cost));
  for (int64_t cost : core.edgeCosts)
    edgeCosts.push_back(scaled(cost));
  before.resize(core.numNodes());
  after.resize(core.numNodes());
  for (int32_t e = 0; e < core.numEdges(); ++e) {
    int32_t first = core.edgeFirst[e], second = core.edgeSecond[e];
    firstAt.push_back(firstMessages.size());
    firstMessages.resize(firstMessages.size() + size(first), 0);
    secondAt.push_back(secondMessages.size());
    secondMessages.resize(secondMessages.size() + size(second), 0);
    (first < second ? after : before)[first].push_back({e, second, true});
    (second < first ? after : before)[second].push_back({e, first, false});
  }
  priceTerms.assign(core.segmentUsages.size(), 0);
  expectedSegment.assign(core.segmentNode.size(), 0);
  segmentsAt.assign(core.numNodes() + 1, 0);
  for (int32_t n : core.segmentNode)
    ++segmentsAt[n + 1];
  for (int32_t n = 0; n < core.numNodes(); ++n)
    segmentsAt[n + 1] += segmentsAt[n];
}

int64_t DualAscent::lowerBound() const {
  if (isEmpty)
    return kBlocked;
  // Rounding up is right: costs are integers.
  int64_t unit = int64_t{1} << shift;
  return core.constantCost + floorDivide(bound - priceConstant + unit - 1, unit);
}

/// After pulling from every edge an edge's cheapest pair costs 0 for each strategy of the node, and
/// its belief holds everything its neighbourhood knows.
void DualAscent::pull(int32_t n, const EdgeSide &side) {
  const int64_t *table = edgeCosts.data() + core.edgeOffsets[side.edge];
  int32_t own = size(n), theirs = size(side.other);
  scratch.resize(own);
  if (side.isFirst)
    rowMinima(table, secondMessages.data() + secondAt[side.edge], scratch.data(), own, theirs);
  else
    columnMinima(table, firstMessages.data() + firstAt[side.edge], scratch.data(), theirs, own);
  int64_t *received = message(side);
  for (int32_t p = 0; p < own; ++p) {
    int64_t &value = belief[core.nodeOffsets[n] + p];
    if (value >= kDead)
      continue;
    if (scratch[p] >= kDead) {
      kill(n, p);
      continue;
    }
    value += scratch[p] - received[p];
    received[p] = scratch[p];
  }
}

void DualAscent::push(int32_t n, const std::vector<EdgeSide> &sides, int64_t weight) {
  int64_t *values = belief.data() + core.nodeOffsets[n];
  for (int32_t p = 0; p < size(n); ++p) {
    if (values[p] >= kDead)
      continue;
    int64_t share = floorDivide(values[p], weight);
    for (const EdgeSide &side : sides)
      message(side)[p] -= share;
    values[p] -= share * static_cast<int64_t>(sides.size());
  }
}

void DualAscent::normalize(int32_t n) {
  int64_t *begin = belief.data() + core.nodeOffsets[n],
          *end = belief.data() + core.nodeOffsets[n + 1];
  int64_t least = *std::min_element(begin, end);
  if (least >= kDead) {
    isEmpty = true; // nothing is cheaper than the cost given to blockAbove
    return;
  }
  bound += least;
  for (int64_t *value = begin; value != end; ++value)
    if (*value < kDead)
      *value -= least;
}

/// A dead strategy makes every pair it is part of look blocked.
void DualAscent::kill(int32_t n, int64_t p) {
  belief[core.nodeOffsets[n] + p] = kBlocked;
  for (const auto *sides : {&before[n], &after[n]})
    for (const EdgeSide &side : *sides)
      message(side)[p] = -kDead;
}

void DualAscent::pass(bool isForward) {
  for (int32_t i = 0; i < core.numNodes(); ++i) {
    int32_t n = isForward ? i : core.numNodes() - 1 - i;
    const std::vector<EdgeSide> &from = isForward ? before[n] : after[n];
    const std::vector<EdgeSide> &to = isForward ? after[n] : before[n];
    for (const EdgeSide &side : from)
      pull(n, side);
    normalize(n);
    if (!isForward && segmentsAt[n] < segmentsAt[n + 1])
      weigh(n);
    if (!to.empty())
      push(n, to, std::max(from.size(), to.size()));
  }
}

void DualAscent::weigh(int32_t n) {
  const int64_t *values = belief.data() + core.nodeOffsets[n];
  weights.assign(size(n), 0);
  double total = 0;
  double coldest = kNegligible * temperature; // also spares exp its slow way to 0
  for (int32_t p = 0; p < size(n); ++p) {
    auto value = static_cast<double>(values[p]);
    if (values[p] == 0)
      weights[p] = 1;
    else if (value < coldest)
      weights[p] = std::exp(-value / temperature);
    total += weights[p];
  }
  for (int64_t s = segmentsAt[n]; s < segmentsAt[n + 1]; ++s) {
    double usage = 0;
    for (int32_t p = 0; p < size(n); ++p)
      usage += weights[p] * static_cast<double>(core.segmentUsages[core.segmentOffsets[s] + p]);
    expectedSegment[s] = usage / total;
  }
}

std::vector<double> DualAscent::expectedUsage() const {
  std::vector<double> usage(core.numRows() + 1, 0);
  for (size_t s = 0; s < core.segmentNode.size(); ++s) {
    usage[core.segmentBegin[s]] += expectedSegment[s];
    usage[core.segmentEnd[s]] -= expectedSegment[s];
  }
  for (int32_t r = 1; r <= core.numRows(); ++r)
    usage[r] += usage[r - 1];
  usage.pop_back();
  return usage;
}

void DualAscent::iterate() {
  pass(true);
  pass(false);
}

void DualAscent::setPrices(const std::vector<double> &prices) {
  // Prices that would leave the range of scaled costs are of no use; halved ones are as valid.
  double factor = 1;
  while (!trySetPrices(prices, factor))
    factor /= 2;
}

bool DualAscent::trySetPrices(const std::vector<double> &prices, double factor) {
  // In 2^-40 of a scaled cost per byte. What users pay is rounded down, what capacities earn up.
  constexpr int32_t kPriceShift = 40;
  const double most = std::ldexp(static_cast<double>(kMaxScaledTotal), kPriceShift);
  std::vector<__int128> upTo(core.numRows() + 1, 0);
  __int128 earned = 0;
  for (int32_t r = 0; r < core.numRows(); ++r) {
    double price = std::ldexp(prices[r] * factor, shift + kPriceShift);
    if (price * static_cast<double>(std::max<int64_t>(core.rowCapacities[r], 1)) * core.numRows() >
        most)
      return false;
    upTo[r + 1] = upTo[r] + static_cast<__int128>(price);
    earned += static_cast<__int128>(price) * core.rowCapacities[r];
  }
  std::vector<int64_t> terms(priceTerms.size());
  std::vector<double> nodeTotals(core.numNodes(), 0);
  for (size_t s = 0; s < core.segmentNode.size(); ++s) {
    __int128 price = upTo[core.segmentEnd[s]] - upTo[core.segmentBegin[s]];
    auto usages = core.segmentUsages.begin();
    int64_t largest =
        *std::max_element(usages + core.segmentOffsets[s], usages + core.segmentOffsets[s + 1]);
    double &total = nodeTotals[core.segmentNode[s]];
    total += static_cast<double>(price) * static_cast<double>(largest);
    if (total > most)
      return false;
    for (int64_t i = core.segmentOffsets[s]; i < core.segmentOffsets[s + 1]; ++i)
      terms[i] = static_cast<int64_t>((price * core.segmentUsages[i]) >> kPriceShift);
  }
  priceConstant = static_cast<int64_t>((earned + (__int128{1} << kPriceShift) - 1) >> kPriceShift);
  for (size_t s = 0; s < core.segmentNode.size(); ++s) {
    int64_t strategy = core.nodeOffsets[core.segmentNode[s]];
    for (int64_t i = core.segmentOffsets[s]; i < core.segmentOffsets[s + 1]; ++i, ++strategy)
      if (belief[strategy] < kDead)
        belief[strategy] += terms[i] - priceTerms[i];
  }
  priceTerms = std::move(terms);
  return true;
}

int64_t DualAscent::secondBest(int32_t n) const {
  int64_t least = INT64_MAX, second = INT64_MAX;
  for (int32_t p = 0; p < size(n); ++p) {
    int64_t value = beliefOf(n, p);
    second = std::min(second, std::max(value, least));
    least = std::min(least, value);
  }
  return second;
}

std::vector<double> DualAscent::excessOf(const std::vector<int32_t> &choices) const {
  std::vector<double> excess;
  for (int32_t n = 0; n < core.numNodes(); ++n)
    excess.push_back(static_cast<double>(std::min(beliefOf(n, choices[n]), kDead)));
  for (int32_t e = 0; e < core.numEdges(); ++e) {
    int32_t first = core.edgeFirst[e], second = core.edgeSecond[e];
    int64_t p = choices[first], q = choices[second];
    int64_t pair = std::min(edgeCosts[core.edgeOffsets[e] + p * size(second) + q], kDead);
    double kept = static_cast<double>(pair) - static_cast<double>(firstMessages[firstAt[e] + p]) -
                  static_cast<double>(secondMessages[secondAt[e] + q]);
    excess[first] += kept / 2;
    excess[second] += kept / 2;
  }
  return excess;
}

/// How much an answer cheaper than `cost` may take above the bound, scaled.
__int128 DualAscent::roomBelow(int64_t cost) const {
  return (static_cast<__int128>(cost - core.constantCost) << shift) - (bound - priceConstant);
}

DualAscent::Blocked DualAscent::blockAbove(int64_t cost) {
  Blocked blocked;
  for (int32_t n = 0; n < core.numNodes(); ++n) {
    for (const auto *sides : {&before[n], &after[n]})
      for (const EdgeSide &side : *sides)
        pull(n, side);
    normalize(n);
    // No factor is negative now, so an answer with a strategy costs at least the bound plus the
    // strategy's belief.
    __int128 room = roomBelow(cost);
    for (int32_t p = 0; p < size(n); ++p) {
      int64_t value = belief[core.nodeOffsets[n] + p];
      if (value < kDead && value >= room) {
        kill(n, p);
        ++blocked.numStrategies;
      }
    }
  }
  for (int32_t e = 0; e < core.numEdges() && !isEmpty; ++e)
    blocked.numPairs += killPairs(e, roomBelow(cost));
  return blocked;
}

/// An answer with a pair costs at least the bound, the beliefs of its ends, and what the edge has
/// not given away of it.
int64_t DualAscent::killPairs(int32_t e, __int128 room) {
  int64_t numKilled = 0;
  const int64_t *firstBelief = belief.data() + core.nodeOffsets[core.edgeFirst[e]],
                *secondBelief = belief.data() + core.nodeOffsets[core.edgeSecond[e]];
  const int64_t *given = firstMessages.data() + firstAt[e],
                *givenSecond = secondMessages.data() + secondAt[e];
  int32_t numSecond = size(core.edgeSecond[e]);
  int64_t *pair = edgeCosts.data() + core.edgeOffsets[e];
  for (int32_t p = 0; p < size(core.edgeFirst[e]); ++p)
    for (int32_t q = 0; q < numSecond; ++q, ++pair) {
      bool isDead = *pair >= kDead || firstBelief[p] >= kDead || secondBelief[q] >= kDead;
      if (isDead || *pair - given[p] - givenSecond[q] + firstBelief[p] + secondBelief[q] < room)
        continue;
      *pair = kBlocked;
      ++numKilled;
    }
  return numKilled;
}

} // namespace alpa
