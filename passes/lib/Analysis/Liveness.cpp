// Computes live intervals; see the header.

#include "alpa/Analysis/Liveness.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {

/// First every value gets a buffer, then every read makes its buffer last longer, then buffers that
/// are written anew end where their successor begins.
class LivenessBuilder {
public:
  LivenessBuilder(const OpGraph &graph, Liveness &result)
      : graph(graph), result(result), entry(graph.function().getBody().front()) {}

  void run() {
    for (mlir::BlockArgument argument : entry.getArguments())
      define(argument, 0);
    for (int index = 0; index < graph.size(); ++index)
      defineResults(index);
    for (int index = 0; index < graph.size(); ++index)
      readOperands(index);
    for (mlir::Value returned : entry.back().getOperands())
      extend(returned, lastNode());
    for (mlir::BlockArgument argument : entry.getArguments())
      readArgument(argument);
    for (auto [older, newer] : rewrites)
      endBefore(older, newer);
    countBytes();
  }

private:
  int lastNode() const { return std::max(graph.size() - 1, 0); }

  void define(mlir::Value value, int first) {
    mlir::Operation *op = value.getDefiningOp();
    int64_t size = op && isConstantLike(op) ? 0 : bytes(value.getType());
    result.buffers[value] = static_cast<int>(result.all.size());
    result.all.push_back({value, first, first, size});
  }
  void share(mlir::Value value, mlir::Value with) {
    if (LiveInterval *buffer = bufferOf(with))
      result.buffers[value] = static_cast<int>(buffer - result.all.data());
  }
  /// Null for a value of a region that has no nodes.
  LiveInterval *bufferOf(mlir::Value value) {
    auto found = result.buffers.find(value);
    return found == result.buffers.end() ? nullptr : &result.all[found->second];
  }
  void extend(mlir::Value value, int last) {
    if (LiveInterval *buffer = bufferOf(value))
      buffer->last = std::max(buffer->last, last);
  }
  void rewrite(mlir::Value older, mlir::Value newer) { rewrites.emplace_back(older, newer); }

  void defineResults(int index) {
    mlir::Operation *op = graph[index].op;
    OpKind kind = kindOf(op);
    if (isWhile(op))
      return defineCarried(op, index);
    bool isAlias = kind == OpKind::Reshape || kind == OpKind::OptimizationBarrier ||
                   kind == OpKind::ShardingConstraint;
    for (auto [i, value] : llvm::enumerate(op->getResults()))
      if (isAlias && i < op->getNumOperands())
        share(value, op->getOperand(i));
      else
        define(value, graph[index].last); // of a branch: when it ends
    bool writesInPlace = kind == OpKind::DynamicUpdateSlice || kind == OpKind::Scatter;
    if (writesInPlace && op->getNumResults() == 1 && op->getNumOperands() > 0)
      rewrite(op->getOperand(0), op->getResult(0));
  }

  /// What a loop carries without changing it is one buffer from operand to result. Else the
  /// arguments of condition and body are a buffer that takes the operand's place, is rewritten by
  /// what the body returns, and that by the result.
  void defineCarried(mlir::Operation *op, int index) {
    mlir::Block &condition = whileCondition(op).front(), &body = whileBody(op).front();
    for (auto [i, value] : llvm::enumerate(op->getResults())) {
      mlir::Value operand = op->getOperand(i), argument = body.getArgument(i);
      mlir::Value returned = body.back().getOperand(i);
      if (returned == argument) {
        share(argument, operand);
        share(value, operand);
      } else {
        define(argument, index);
        define(value, graph[index].last);
        rewrite(operand, argument);
        rewrite(argument, returned);
        rewrite(returned, value);
      }
      share(condition.getArgument(i), argument);
    }
  }

  void readOperands(int index) {
    mlir::Operation *op = graph[index].op;
    for (mlir::Value operand : op->getOperands())
      read(operand, op, index);
    if (isWhile(op) || isBranch(op))
      for (mlir::Region &region : op->getRegions())
        for (mlir::Block &block : region)
          for (mlir::Value returned : block.back().getOperands())
            read(returned, &block.back(), graph[index].last);
  }

  /// A value made outside a loop that contains the reader is read in every iteration: it exists
  /// until the outermost such loop ends.
  void read(mlir::Value value, mlir::Operation *reader, int index) {
    int last = index;
    for (mlir::Region *region = reader->getParentRegion();
         region && region != value.getParentRegion(); region = region->getParentRegion())
      if (int outer = graph.indexOf(region->getParentOp()); outer >= 0)
        last = std::max(last, graph[outer].last);
    extend(value, last);
  }

  /// The caller keeps an argument that it has not given up.
  void readArgument(mlir::BlockArgument argument) {
    mlir::func::FuncOp function = graph.function();
    unsigned number = argument.getArgNumber();
    if (auto alias = function.getArgAttrOfType<mlir::IntegerAttr>(number, "tf.aliasing_output")) {
      mlir::ValueRange returned = entry.back().getOperands();
      if (alias.getInt() >= 0 && static_cast<size_t>(alias.getInt()) < returned.size())
        rewrite(argument, returned[alias.getInt()]);
    } else if (!function.getArgAttr(number, "jax.buffer_donor")) {
      extend(argument, lastNode());
    }
  }

  void endBefore(mlir::Value older, mlir::Value newer) {
    LiveInterval *old = bufferOf(older), *next = bufferOf(newer);
    if (old && next && old != next && old->last == next->first)
      --old->last;
  }

  void countBytes() {
    std::vector<int64_t> change(graph.size() + 1);
    for (const LiveInterval &buffer : result.all) {
      if (buffer.last < buffer.first || graph.size() == 0)
        continue;
      change[buffer.first] += buffer.bytes;
      change[buffer.last + 1] -= buffer.bytes;
    }
    int64_t total = 0;
    for (int index = 0; index < graph.size(); ++index)
      result.inUse.push_back(total += change[index]);
  }

  const OpGraph &graph;
  Liveness &result;
  mlir::Block &entry;
  std::vector<std::pair<mlir::Value, mlir::Value>> rewrites;
};

Liveness::Liveness(const OpGraph &graph) { LivenessBuilder(graph, *this).run(); }

int64_t Liveness::peakBytes() const {
  return inUse.empty() ? 0 : *std::max_element(inUse.begin(), inUse.end());
}

} // namespace alpa
