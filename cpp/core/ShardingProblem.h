// The sharding problem: choose one strategy per node, minimise node and edge costs, stay within memory at every time.
// It is IOPDDL's problem (ASPLOS/EuroSys 2025 contest), the one XLA's own solver takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace alpa {

/// A cost at or above this forbids the choice. Sums of it overflow int64: never add two costs without a guard.
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

struct ShardingProblem {
  std::string name;
  std::vector<ShardingNode> nodes;
  std::vector<ShardingEdge> edges; ///< parallel edges add
  std::optional<int64_t> usageLimit;
};

} // namespace alpa
