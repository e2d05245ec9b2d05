// Reads an answer off the messages: nodes are decided one by one, the surest next. Where the
// problem is symmetric (mesh axes of equal size) nearly all nodes are in doubt until a neighbour
// is decided; in a fixed order parts far from each other would take sides that do not fit together.

#include "core/sharding/search/DualAscent.h"

#include <algorithm>
#include <set>

namespace alpa {

class DualAscent::Decoder {
public:
  Decoder(const DualAscent &dual, Order order)
      : dual(dual), order(order), core(dual.core), view(dual.belief), choices(core.numNodes(), -1),
        doubt(core.numNodes(), 0), room(core.rowCapacities) {
    pullAll();
    for (int32_t n = 0; n < core.numNodes(); ++n)
      queue.insert({doubt[n] = -margin(n), n});
  }

  std::vector<int32_t> run() {
    while (!queue.empty()) {
      int32_t n = queue.begin()->second;
      queue.erase(queue.begin());
      choices[n] = choose(n);
      takeMemory(n);
      for (const auto *sides : {&dual.before[n], &dual.after[n]})
        for (const EdgeSide &side : *sides)
          tell(n, side);
    }
    return std::move(choices);
  }

private:
  int64_t given(const EdgeSide &side, int64_t p) const {
    return side.isFirst ? dual.firstMessages[dual.firstAt[side.edge] + p]
                        : dual.secondMessages[dual.secondAt[side.edge] + p];
  }
  int64_t pairCost(int32_t n, const EdgeSide &side, int64_t own, int64_t theirs) const {
    int64_t at = side.isFirst ? own * dual.size(side.other) + theirs : theirs * dual.size(n) + own;
    return std::min(dual.edgeCosts[core.edgeOffsets[side.edge] + at], kDead);
  }
  /// What a pair costs beyond what the edge has given to both ends.
  int64_t kept(int32_t n, const EdgeSide &side, int64_t own, int64_t theirs) const {
    int64_t toOther = side.isFirst ? dual.secondMessages[dual.secondAt[side.edge] + theirs]
                                   : dual.firstMessages[dual.firstAt[side.edge] + theirs];
    return pairCost(n, side, own, theirs) - std::max(given(side, own), -kDead) -
           std::max(toOther, -kDead);
  }

  int64_t &viewOf(int32_t n, int64_t p) { return view[core.nodeOffsets[n] + p]; }
  void add(int64_t &value, int64_t cost) { value = std::min(value + cost, kBlocked); }

  /// The last pass went back, so a node knows its edges to later nodes; here it hears of the
  /// others.
  void pullAll() {
    pulledAt.assign(core.numEdges(), 0);
    for (int32_t n = 0; n < core.numNodes(); ++n)
      for (const EdgeSide &side : dual.before[n]) {
        pulledAt[side.edge] = static_cast<int64_t>(pulled.size());
        for (int32_t p = 0; p < dual.size(n); ++p) {
          int64_t least = kDead;
          for (int32_t q = 0; q < dual.size(side.other); ++q)
            least = std::min(least, kept(n, side, p, q));
          pulled.push_back(least);
          add(viewOf(n, p), least);
        }
      }
  }

  /// A neighbour learns what the decided node really costs it.
  void tell(int32_t n, const EdgeSide &side) {
    int32_t other = side.other;
    if (choices[other] >= 0)
      return;
    bool isPulled = n < other;
    for (int32_t q = 0; q < dual.size(other); ++q) {
      int64_t before = isPulled ? pulled[pulledAt[side.edge] + q] : 0;
      int64_t &value = viewOf(other, q);
      if (value < kDead)
        add(value, kept(n, side, choices[n], q) - before);
    }
    queue.erase({doubt[other], other});
    queue.insert({doubt[other] = -margin(other), other});
  }

  /// How much dearer the second best strategy is.
  int64_t margin(int32_t n) {
    if (order == Order::AsNumbered)
      return 0;
    int64_t least = INT64_MAX, second = INT64_MAX;
    for (int32_t p = 0; p < dual.size(n); ++p) {
      int64_t value = std::min(viewOf(n, p), kDead);
      second = std::min(second, std::max(value, least));
      least = std::min(least, value);
    }
    return second == INT64_MAX ? INT64_MAX : second - least;
  }

  bool fits(int32_t n, int32_t p) const {
    for (int64_t s = dual.segmentsAt[n]; s < dual.segmentsAt[n + 1]; ++s) {
      int64_t usage = core.segmentUsages[core.segmentOffsets[s] + p];
      auto begin = room.begin() + core.segmentBegin[s], end = room.begin() + core.segmentEnd[s];
      if (usage > 0 && std::any_of(begin, end, [usage](int64_t left) { return left < usage; }))
        return false;
    }
    return true;
  }

  /// The cheapest that fits, or else the cheapest.
  int32_t choose(int32_t n) {
    int32_t best = 0;
    int64_t least = INT64_MAX;
    bool doesFit = false;
    for (int32_t p = 0; p < dual.size(n); ++p) {
      int64_t cost = viewOf(n, p);
      if (doesFit && cost >= least)
        continue;
      bool isFitting = cost < kDead && fits(n, p);
      if (isFitting > doesFit || (isFitting == doesFit && cost < least)) {
        least = cost;
        doesFit = isFitting;
        best = p;
      }
    }
    return best;
  }

  void takeMemory(int32_t n) {
    for (int64_t s = dual.segmentsAt[n]; s < dual.segmentsAt[n + 1]; ++s)
      for (int32_t r = core.segmentBegin[s]; r < core.segmentEnd[s]; ++r)
        room[r] -= core.segmentUsages[core.segmentOffsets[s] + choices[n]];
  }

  const DualAscent &dual;
  Order order;
  const CoreProblem &core;
  std::vector<int64_t> view;     ///< per strategy: cost as far as the node knows
  std::vector<int64_t> pulled;   ///< what nodes heard at edges to nodes before them
  std::vector<int64_t> pulledAt; ///< by edge
  std::vector<int32_t> choices;  ///< -1: not decided
  std::vector<int64_t> doubt;
  std::set<std::pair<int64_t, int32_t>> queue; ///< undecided nodes, the surest first
  std::vector<int64_t> room;                   ///< bytes free in each row
};

std::vector<int32_t> DualAscent::decode(Order order) const { return Decoder(*this, order).run(); }

} // namespace alpa
