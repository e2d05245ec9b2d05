// The door to strategy enumeration for code without MLIR headers: the sharding problem of a module,
// and what a solution of it means.
#pragma once

#include "bridge/Module.h"
#include "core/mesh/DeviceMesh.h"
#include "core/sharding/ShardingProblem.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace alpa {

/// A collective that a plan is expected to run.
struct CollectiveReport {
  std::string kind;              ///< "all-reduce", ...
  std::vector<std::string> axes; ///< of the mesh
  int64_t bytes = 0;             ///< per device and run: the larger of operand and result
  double count = 1;              ///< runs in one call
  double seconds = 0;            ///< of all runs
  int64_t opId = -1;             ///< `alpa.op` of the op that needs it
  std::string opName;
  std::string phase; ///< in which it runs; empty where there are none
  std::string reason;
};

/// How a function meets its callers, shardings as text such as "{x},{}".
struct BoundaryReport {
  std::vector<std::string> arguments, results;
  /// `alpa.op` of the op that explains each argument's sharding, -1 where nobody reads it.
  std::vector<int64_t> readers;
};

/// What `strategySpace` may be: "auto", "data", "zero2", "zero3".
std::vector<std::string> strategySpaces();

class ShardingModel {
public:
  /// Enumerates the strategies of a normalised module whose ops have sharding rules; of a pipeline
  /// stage the activations of `numInFlight` microbatches are to fit into memory. Throws
  /// std::invalid_argument on a bad mesh, device, strategy space or number, and std::runtime_error
  /// with the diagnostics on a bad module. Refers to the ops of `module`, which must outlive it: a
  /// pass that erases them (alpa-split-phases) comes after all questions.
  ShardingModel(Module &module, const DeviceMesh &mesh, const DeviceSpec &device,
                const std::string &strategySpace, int64_t numInFlight = 1);
  ~ShardingModel();

  /// Its first nodes are the vertices: arguments, ops and carried values. The views after them
  /// (ShardingGraph::problem) follow from what those choose.
  const ShardingProblem &problem() const;
  const std::vector<Diagnostic> &remarks() const;

  int numVertices() const;
  /// The op behind a vertex (`alpa.op`), -1 for arguments.
  int64_t opId(int vertex) const;
  /// The argument's name, or "argument 3"; "stablehlo.dot_general", "carried 2 of stablehlo.while".
  std::string nodeName(int vertex) const;
  std::vector<std::string> strategyNames(int vertex) const;
  /// Whether the user has fixed its sharding, so that no others are to choose from.
  bool isFixed(int vertex) const;

  // Each takes one strategy per vertex and throws std::invalid_argument on any other list.
  /// Strategies of all nodes of the problem: the views are those that make it cheapest.
  std::vector<int> complete(const std::vector<int> &choices) const;
  void apply(const std::vector<int> &choices);
  std::vector<CollectiveReport> collectives(const std::vector<int> &choices) const;
  /// Seconds of a step: "compute", "collectives" (the sum of those above) and "copies" of reshards
  /// that are local.
  std::map<std::string, double> seconds(const std::vector<int> &choices) const;
  /// Their sum in picoseconds: at most the problem's cost, which counts a reshard twice where two
  /// readers want the same, but not the view.
  int64_t cost(const std::vector<int> &choices) const;
  /// Seconds of a step by `alpa.phase`.
  std::map<std::string, double> phaseSeconds(const std::vector<int> &choices) const;
  /// Peak bytes, those of copies included that reshards make; the problem's do not.
  int64_t peakBytes(const std::vector<int> &choices) const;
  /// Peak bytes by `alpa.phase` of what lives within the phase.
  std::map<std::string, int64_t> phaseTemporaryBytes(const std::vector<int> &choices) const;
  BoundaryReport boundary(const std::vector<int> &choices) const;

private:
  void check(const std::vector<int> &choices) const;
  struct State;
  std::unique_ptr<State> state;
};

} // namespace alpa
