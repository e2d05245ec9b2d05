// Lower bounds by sequential reweighted message passing (TRW-S: Kolmogorov 2006; in the form of
// SRMP, 2015), with a price on each memory row (Lagrangian relaxation).
//
// Everything is a reparametrization in scaled integers, so the bound is exact: costs are multiplied
// by a power of two, shares are rounded but what one factor gives another takes, and prices are
// rounded in the safe direction.
#pragma once

#include "core/sharding/CoreProblem.h"

#include <cmath>

namespace alpa {

class DualAscent {
public:
  /// The core must outlive this and have no blocked strategies.
  explicit DualAscent(const CoreProblem &core);

  /// One pass over all nodes forward and one back.
  void iterate();

  /// Every answer of the core costs at least this, its constant included; kBlocked if there is
  /// none, or none cheaper than what was given to blockAbove.
  int64_t lowerBound() const;

  /// An answer read off the messages (Decode.cpp). Surest first is better where answers tie, in
  /// order where memory is short: neither always.
  enum class Order { SurestFirst, AsNumbered };
  std::vector<int32_t> decode(Order order) const;

  /// Prices per row, in units of cost per byte. Not negative.
  void setPrices(const std::vector<double> &prices);

  /// Memory used in each row if every strategy were taken with the weight exp(-belief /
  /// temperature), as the last pass saw it: a gradient of the bound in the prices that is smooth
  /// where answers tie. Temperature in units of cost.
  void setTemperature(double value) { temperature = std::ldexp(value, shift); }
  std::vector<double> expectedUsage() const;

  /// Strategies and pairs that no answer cheaper than `cost` can have are blocked from then on.
  struct Blocked {
    int64_t numStrategies = 0, numPairs = 0; ///< new ones

    /// So many that reducing the core again pays.
    bool isMuchOf(const CoreProblem &core) const {
      return numStrategies * 20 >= static_cast<int64_t>(core.nodeCosts.size()) ||
             (numPairs > 0 && numPairs * 20 >= static_cast<int64_t>(core.edgeCosts.size()));
    }
  };
  Blocked blockAbove(int64_t cost);
  int64_t beliefOf(int32_t n, int32_t p) const { return belief[core.nodeOffsets[n] + p]; }
  int64_t secondBest(int32_t n) const;

  /// By node, what its choice and half of those at its edges cost above what the bound counts.
  std::vector<double> excessOf(const std::vector<int32_t> &choices) const;
  bool isBlocked(int64_t strategy) const { return belief[strategy] >= kDead; }
  bool isPairBlocked(int64_t position) const { return edgeCosts[position] >= kDead; }

private:
  static constexpr int64_t kDead = kBlocked / 2;

  struct EdgeSide {
    int32_t edge;
    int32_t other;
    bool isFirst; ///< the node is the edge's first: its strategies are the rows
  };

  void pass(bool isForward);
  void pull(int32_t n, const EdgeSide &side);
  void push(int32_t n, const std::vector<EdgeSide> &sides, int64_t weight);
  void normalize(int32_t n);
  bool trySetPrices(const std::vector<double> &prices, double factor);
  void weigh(int32_t n);
  class Decoder;
  void kill(int32_t n, int64_t strategy);
  int64_t killPairs(int32_t e, __int128 room);
  __int128 roomBelow(int64_t cost) const;
  int64_t scaled(int64_t cost) const { return cost >= kBlocked ? kBlocked : cost << shift; }
  int64_t *message(const EdgeSide &side) {
    return (side.isFirst ? firstMessages.data() + firstAt[side.edge]
                         : secondMessages.data() + secondAt[side.edge]);
  }
  int32_t size(int32_t n) const {
    return static_cast<int32_t>(core.nodeOffsets[n + 1] - core.nodeOffsets[n]);
  }

  const CoreProblem &core;
  int32_t shift = 0;
  std::vector<int64_t> edgeCosts; ///< scaled
  std::vector<int64_t> belief;    ///< per strategy: own cost plus what its edges gave
  std::vector<int64_t> firstMessages, secondMessages; ///< what an edge gave to its ends
  std::vector<int64_t> firstAt, secondAt;
  std::vector<std::vector<EdgeSide>> before,
      after;                       ///< sides of a node's edges to lower and higher nodes
  std::vector<int64_t> priceTerms; ///< per segment usage, scaled
  int64_t priceConstant = 0;       ///< price of the capacities, scaled
  int64_t bound = 0;               ///< sum of all minima taken out so far, scaled
  bool isEmpty = false;            ///< some node has no strategy left
  double temperature = 0;
  std::vector<int64_t> segmentsAt;     ///< first segment of each node
  std::vector<double> expectedSegment; ///< bytes
  std::vector<int64_t> scratch;
  std::vector<double> weights;
};

} // namespace alpa
