// An answer of a core under change: its cost and the memory of every row are kept up to date, so
// that trying a move costs no more than the node's own edges and segments.
#pragma once

#include "core/sharding/search/CoreGraph.h"

namespace alpa {

class Assignment {
public:
  /// An answer that needs more moves is far off; prices will bring a better one.
  static constexpr int32_t kMaxRepairs = 100;

  /// The graph must outlive this.
  Assignment(const CoreGraph &graph, std::vector<int32_t> choices);

  const std::vector<int64_t> &rowUsage() const { return usage; }
  const std::vector<int32_t> &choices() const { return chosen; }
  int64_t cost() const { return total; } ///< with the core's constant; meaningless unless allowed
  bool isAllowed() const { return numBlocked == 0 && overflow == 0; }

  int32_t numBlockedCosts() const { return numBlocked; }

  /// The row that is exceeded most, or -1.
  int32_t worstRow() const;

  void move(int32_t n, int32_t p);
  void move(const std::vector<int32_t> &nodes, const std::vector<int32_t> &strategies);

  /// Ends of edges whose pair is blocked, and nodes whose strategy is.
  std::vector<int32_t> blockedNodes() const;

  /// What a move adds: blocked costs first, as no sum of others outweighs one.
  struct Change {
    int32_t numBlocked = 0;
    int64_t cost = 0;

    bool operator<(const Change &other) const {
      return numBlocked != other.numBlocked ? numBlocked < other.numBlocked : cost < other.cost;
    }
  };
  Change costChange(int32_t n, int32_t p) const;

  /// What a move adds to the total overflow.
  int64_t overflowChange(int32_t n, int32_t p) const;

  /// Moves single nodes, cheapest cost per byte first, until no row overflows or nothing helps.
  void repair(int32_t maxMoves = kMaxRepairs);

  /// Moves single nodes while that makes an allowed answer cheaper.
  void descend();

private:
  Change localCost(int32_t n, int32_t p) const;

  const CoreGraph *graph;
  std::vector<int32_t> chosen;
  std::vector<int64_t> usage;
  int64_t total = 0, overflow = 0;
  int32_t numBlocked = 0;
};

} // namespace alpa
