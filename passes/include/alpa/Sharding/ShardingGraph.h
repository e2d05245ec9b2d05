// The sharding graph of a function: vertices choose a strategy, flows carry values between them.
// The sharding problem, the predicted collectives and the annotations are read off it.
#pragma once

#include "alpa/Sharding/ReshardTables.h"
#include "alpa/Sharding/Strategy.h"
#include "alpa/Sharding/StrategySpace.h"
#include "core/sharding/ShardingProblem.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"
#include <memory>

namespace alpa {

/// What a sharding graph is made for.
struct ShardingTarget {
  DeviceMesh mesh;
  DeviceSpec device;
  StrategySpace strategySpace = StrategySpace::Auto;
};

/// Something that chooses a strategy: a node of the sharding problem.
struct Vertex {
  enum class Kind {
    Argument, ///< an argument of the function
    Op,       ///< an op: strategies from its sharding rule
    Carried,  ///< a value that a loop carries, a branch yields or a barrier passes on: one sharding
              ///< wherever it appears
  };
  Kind kind = Kind::Op;
  mlir::Operation *op = nullptr; ///< null for arguments
  unsigned index = 0;            ///< number of the argument, or of the carried value
  double multiplicity = 1; ///< how often it runs in one call: trip counts of the loops around it
  Interval live;           ///< in op index time
  std::vector<Strategy> strategies;
  std::vector<int64_t> usages; ///< bytes per device, by strategy
};

/// A value on its way from the vertex that makes it to one that reads it.
struct Flow {
  mlir::Value value;
  int producer = 0;
  unsigned result = 0; ///< of the producer's strategies
  int consumer = 0;
  unsigned operand =
      0; ///< of the consumer's strategies; results[0] where the consumer is an argument or carried
  double multiplicity = 1;
};

/// A collective that a plan is expected to run, and what it is for.
struct PredictedCollective {
  Collective collective;
  double count = 1;              ///< runs in one call
  double seconds = 0;            ///< of all runs
  mlir::Operation *op = nullptr; ///< what needs it; null where an argument is returned
  std::string reason;
};

class ShardingGraph {
public:
  /// Reads the only public function of a normalised module whose ops have sharding rules. Remarks
  /// name the ops that stay replicated for want of a rule. Fails with a diagnostic where a sharding
  /// the user fixed does not fit the mesh.
  static mlir::FailureOr<ShardingGraph> build(mlir::ModuleOp module, const ShardingTarget &target);

  const ShardingTarget &target() const { return shardingTarget; }
  const std::vector<Vertex> &vertices() const { return allVertices; }
  const std::vector<Flow> &flows() const { return allFlows; }
  mlir::FunctionOpInterface function() const { return func; }

  /// The problem in picoseconds and bytes; nodes are the vertices in order.
  ShardingProblem problem() const;

  /// What `choices` (one strategy per vertex) is expected to communicate: partial sums, and the
  /// reshards of each value, a step shared by several readers of one phase once.
  std::vector<PredictedCollective> collectives(llvm::ArrayRef<int> choices) const;

  /// Seconds of a step under `choices` by `alpa.phase`, "" for ops that have none. What a value
  /// costs on its way counts where it is read, state that comes back in the update.
  std::map<std::string, double> phaseSeconds(llvm::ArrayRef<int> choices) const;

  /// Most bytes on a device under `choices`, by `alpa.phase`, of values that live within the phase:
  /// made there, and read nowhere else.
  std::map<std::string, int64_t> phaseTemporaryBytes(llvm::ArrayRef<int> choices) const;

  /// Writes a choice into the IR: the shardings each op reads and leaves (`alpa.operands`,
  /// `alpa.results`) and the arguments' (`alpa.sharding`), and the mesh (`alpa.mesh`). This is what
  /// alpa-annotate-shardings needs.
  void write(llvm::ArrayRef<int> choices);

  /// The sharding in which `flow` leaves its producer, and the one its consumer reads.
  const Sharding &produced(const Flow &flow, int strategy) const;
  const Sharding &consumed(const Flow &flow, int strategy) const;

private:
  friend class GraphBuilder;

  /// `alpa.phase` of the op of the function that `op` is in, "" where it has none.
  llvm::StringRef phaseOf(mlir::Operation *op) const;
  /// Arguments read what is returned in their place: in the update.
  llvm::StringRef phaseOf(const Vertex &vertex) const;

  ShardingTarget shardingTarget;
  mlir::FunctionOpInterface func;
  std::vector<Vertex> allVertices;
  std::vector<Flow> allFlows;
  std::unique_ptr<ReshardTables> tables;
};

} // namespace alpa
