// The sharding graph of a function: vertices choose a strategy, flows carry values between them.
// The sharding problem, the predicted collectives and the annotations are read off it.
#pragma once

#include "alpa/Sharding/ReshardTables.h"
#include "alpa/Sharding/Strategy.h"
#include "alpa/Sharding/StrategySpace.h"
#include "core/mesh/ReshardTree.h"
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
  /// Of a pipeline stage: microbatches whose activations it holds at once.
  int64_t numInFlight = 1;
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

  /// In one call, of the collectives of a strategy and of the whole of it.
  double reductionRuns(const Strategy &strategy) const {
    return strategy.unreduced ? 1 : multiplicity;
  }
  double seconds(const Strategy &strategy) const {
    return (strategy.seconds - strategy.reductionSeconds) * multiplicity +
           strategy.reductionSeconds * reductionRuns(strategy);
  }
};

/// A vertex that reads a value.
struct Reader {
  int vertex = 0;
  unsigned operand = 0; ///< of its strategies; results[0] where it is an argument or carried
  Interval live = {};   ///< while it needs what it reads
  bool operator==(const Reader &other) const {
    return vertex == other.vertex && operand == other.operand;
  }
};

/// A value on its way from the vertex that makes it to those that read it in one phase (and round
/// of the update), which becomes a program of its own. Each reshard on the way runs once for all
/// readers, right after the value was made: as often as that block.
struct Flow {
  mlir::Value value;
  mlir::Type type; ///< as which it moves (movedType)
  int producer = 0;
  unsigned result = 0;   ///< of the producer's strategies
  llvm::StringRef phase; ///< `alpa.phase` of the readers, "" for none
  double runs = 1;       ///< in one call
  llvm::SmallVector<Reader, 2> readers;
};

/// A collective that a plan is expected to run, and what it is for.
struct PredictedCollective {
  Collective collective;
  double count = 1;              ///< runs in one call
  double seconds = 0;            ///< of all runs
  mlir::Operation *op = nullptr; ///< what needs it; null where an argument is returned
  std::string phase;             ///< in which it runs: sums that stay apart, in the update
  std::string reason;
};

class ShardingGraph {
public:
  /// Reads the only public function of a normalised module whose ops have sharding rules. Remarks
  /// name the ops that stay replicated for want of a rule. Fails with a diagnostic where a sharding
  /// the user fixed does not fit the mesh, where a cost is beyond what the problem can hold (links
  /// of next to no bandwidth), and where its tables would not fit in memory.
  static mlir::FailureOr<ShardingGraph> build(mlir::ModuleOp module, const ShardingTarget &target);

  const ShardingTarget &target() const { return shardingTarget; }
  const std::vector<Vertex> &vertices() const { return allVertices; }
  mlir::FunctionOpInterface function() const { return func; }

  /// The problem in picoseconds and bytes. Nodes are the vertices in order, then the views: a value
  /// with several readers goes from its producer to one sharding (the view), paid once, and from
  /// there to each reader. A view may be any sharding that the value can have, also the one in
  /// which it is made. So no plan is priced above reshards of its own for every reader, nor below
  /// its cost (seconds).
  ShardingProblem problem() const;
  int numNodes() const;

  // `choices` is one strategy per vertex in all that follows.

  /// Choices of all nodes of the problem: those of the vertices, and the cheapest views.
  std::vector<int> complete(llvm::ArrayRef<int> choices) const;

  /// What `choices` are expected to communicate: partial sums, and the reshards that
  /// alpa-annotate-shardings writes (ReshardTree).
  std::vector<PredictedCollective> collectives(llvm::ArrayRef<int> choices) const;

  /// Seconds of a step under `choices`: of computing, of all collectives, and of reshards that are
  /// local.
  struct Seconds {
    double compute = 0, collectives = 0, copies = 0;
    double total() const { return compute + collectives + copies; }
  };
  Seconds seconds(llvm::ArrayRef<int> choices) const;
  /// The same by `alpa.phase`, "" for ops that have none. What a value costs on its way counts
  /// where it is read, state that comes back where it is made.
  std::map<std::string, double> phaseSeconds(llvm::ArrayRef<int> choices) const;

  /// Most bytes in use on a device under `choices`, copies that reshards make included. The problem
  /// does not know of those, for what they need depends on two choices.
  int64_t peakBytes(llvm::ArrayRef<int> choices) const;
  /// The same by `alpa.phase`, of values that live within the phase: made there, and read nowhere
  /// else, or added to a sum at once.
  std::map<std::string, int64_t> phaseTemporaryBytes(llvm::ArrayRef<int> choices) const;

  /// Writes a choice into the IR: the shardings each op reads and leaves (`alpa.operands`,
  /// `alpa.results`) and the arguments' (`alpa.sharding`), and the mesh (`alpa.mesh`). This is what
  /// alpa-annotate-shardings needs.
  void write(llvm::ArrayRef<int> choices);

private:
  friend class GraphBuilder;

  // What problem() relies on (GraphLimits.cpp). Both fail with a diagnostic.
  /// Costs fit its integers.
  llvm::LogicalResult checkPrices() const;
  /// Its tables fit in memory.
  llvm::LogicalResult checkTableBytes() const;

  /// The sharding in which a flow leaves its producer, and the one that a reader wants.
  const Sharding &produced(const Flow &flow, int strategy) const;
  const Sharding &consumed(const Reader &reader, int strategy) const;
  std::vector<Reader> sharing(const Flow &flow) const;
  std::vector<int> viewShardings(const Flow &flow) const;
  void addEdges(const Flow &flow, ShardingProblem &problem) const;
  ReshardTree treeOf(const Flow &flow, llvm::ArrayRef<int> choices) const;
  /// Calls `count` with the interval and bytes of every copy that reshards of `flow` make.
  void forEachCopy(const Flow &flow, llvm::ArrayRef<int> choices,
                   llvm::function_ref<void(Interval, int64_t)> count) const;
  /// By vertex, the time (of its interval) at which XLA runs its reduction, combined with others;
  /// -1 where it has none.
  std::vector<int64_t> reductionTimes(llvm::ArrayRef<int> choices) const;
  /// Calls `count` with the interval and bytes of everything that waits for such a reduction.
  void forEachWaiting(llvm::ArrayRef<int> choices,
                      llvm::function_ref<void(const Vertex &, Interval, int64_t)> count) const;
  /// The ops that make a microbatch's parts of sums over several.
  llvm::DenseSet<mlir::Operation *> findPartsOfSums() const;
  /// The op of the function that `op` is in.
  mlir::Operation *topLevel(mlir::Operation *op) const {
    return func->getRegion(0).front().findAncestorOpInBlock(*op);
  }

  ShardingTarget shardingTarget;
  mlir::FunctionOpInterface func;
  std::vector<Vertex> allVertices;
  std::vector<Flow> allFlows;
  std::unique_ptr<ReshardTables> tables;
};

/// `alpa.phase` of an op of a function, "" where it has none.
llvm::StringRef phaseNameOf(mlir::Operation *op);

} // namespace alpa
