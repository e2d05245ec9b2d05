// The sharding problem: choose one strategy per node, minimise node and edge costs, stay within
// memory at every time. It is IOPDDL's problem (ASPLOS/EuroSys 2025 contest), the one XLA's own
// solver takes. The planner builds it, the solvers in core/sharding solve it; `evaluate` is the
// judge and shares no code with them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alpa {

/// A cost at or above this forbids the choice. Sums of it overflow int64: never add two costs
/// without a guard.
inline constexpr int64_t kForbiddenCost = 1'000'000'000'000'000'000;

/// Half-open span of time steps. Empty (begin == end) uses no memory.
struct Interval {
  int64_t begin = 0;
  int64_t end = 0;
};

struct ShardingNode {
  Interval interval;
  std::vector<int64_t> costs;  ///< one per strategy
  std::vector<int64_t> usages; ///< bytes, one per strategy
};

struct ShardingEdge {
  int32_t first = 0;
  int32_t second = 0;
  std::vector<int64_t> costs; ///< row-major: strategies of `first` are the rows
};

/// What a choice of strategies costs and uses, in exact integers.
struct Evaluation {
  int64_t cost = 0;         ///< sum of the costs that are not forbidden
  int64_t numForbidden = 0; ///< nodes and edges whose choice is forbidden
  int64_t peakUsage = 0;    ///< bytes
  int64_t peakTime = 0;     ///< the first time at which the peak is reached
  bool withinLimit = true;

  bool feasible() const { return numForbidden == 0 && withinLimit; }
};

struct ShardingProblem {
  std::string name;
  std::vector<ShardingNode> nodes;
  std::vector<ShardingEdge> edges; ///< parallel edges add
  std::optional<int64_t> usageLimit;

  /// Both return the index of what they added; nothing is checked before `check`.
  int32_t addNode(Interval interval, std::vector<int64_t> costs, std::vector<int64_t> usages);
  int32_t addEdge(int32_t first, int32_t second, std::vector<int64_t> costs);

  /// Throws std::invalid_argument naming the first node or edge that breaks the form: sizes,
  /// ranges, signs, or sums of usages that could leave int64. Sums of costs may: see
  /// core/sharding/StandIn.h.
  void check() const;

  /// Throws std::invalid_argument if `choices` does not name one strategy of every node, and
  /// std::overflow_error if their costs leave int64. The problem must be checked.
  Evaluation evaluate(const std::vector<int32_t> &choices) const;

  /// The time at which most memory would be used if every node took its largest strategy; 0 where
  /// none uses any.
  int64_t busiestTime() const;

  /// The problem without a limit in which every byte that is used at `time` costs `price` more:
  /// its Lagrangian relaxation. No answer within a limit of L bytes costs less than the least cost
  /// of this problem minus `price` * L, but for the rounding of each cost.
  /// Throws std::invalid_argument unless `price` is finite and at least 0, and std::overflow_error
  /// if it makes a cost forbidden that was not. The problem must be checked.
  ShardingProblem priced(double price, int64_t time) const;

  /// The problem in which every node takes the strategy that it has in one of these answers: each
  /// names one strategy of every node. Throws std::invalid_argument where one does not.
  ShardingProblem among(const std::vector<std::vector<int32_t>> &answers) const;

  /// IOPDDL's JSON. Throws std::invalid_argument with the byte offset of what could not be read.
  /// Keys may come in any order and unknown ones are skipped; the result is checked.
  static ShardingProblem fromJson(std::string_view text);
  std::string toJson() const;
};

} // namespace alpa
