// Backward ops follow the forward. From the gradients up, an op belongs to the highest of the
// layers of its readers, of the forward values and parameters it reads, of the forward op that it
// computes again, and of the parameter whose gradient it is. So data flows from higher layers to
// lower ones.
//
// Ops that read no forward value (sums of cotangents) may as well belong to a higher layer, up to
// the lowest of their operands'. They go where the fewest bytes flow between layers: for every
// border between layers a minimum cut.

#include "Layers.h"
#include "alpa/IR/Stablehlo.h"
#include "core/MinCut.h"

namespace alpa {
namespace {

class BackwardLayers {
public:
  explicit BackwardLayers(MicrobatchLayers &microbatch)
      : microbatch(microbatch), ops(microbatch.ops), layers(microbatch.layers),
        parameters(microbatch.parameterLayers()), lowest(ops.size(), 0), highest(ops.size()),
        isFixed(ops.size()) {
    for (int index = 0; index < ops.size(); ++index)
      if (isBackward(index))
        backward.push_back(index);
    for (int layer : layers)
      numLayers = std::max(numLayers, layer + 1);
    countGradientParts();
  }

  void run() {
    for (int index : llvm::reverse(backward))
      findLowest(index);
    for (int index : backward)
      findHighest(index);
    for (int index : backward)
      layers[index] = lowest[index];
    for (int border = 1; border < numLayers; ++border)
      cutAt(border);
  }

private:
  bool isBackward(int index) const {
    return microbatch.isBackward[index] && !microbatch.isCloneable[index];
  }

  /// Gradients are made by the ops whose values the accumulating ops take.
  void countGradientParts() {
    mlir::func::FuncOp function = ops.function();
    for (mlir::Value returned : function.getBody().front().back().getOperands())
      if (int index = ops.producerOf(returned); index >= 0)
        for (int64_t parameter : gradientOf(index))
          ++numParts[parameter];
  }

  llvm::SmallVector<int64_t> gradientOf(int index) const {
    llvm::SmallVector<int64_t> result;
    if (auto list = ops[index].op->getAttrOfType<mlir::ArrayAttr>(kGradientOfAttr))
      for (mlir::Attribute number : list)
        if (auto integer = llvm::dyn_cast<mlir::IntegerAttr>(number))
          result.push_back(integer.getInt());
    return result;
  }

  void raise(int index, int layer) {
    lowest[index] = std::max(lowest[index], layer);
    isFixed[index] = true;
  }

  void findLowest(int index) {
    const OuterOp &node = ops[index];
    for (int reader : node.readers)
      if (isBackward(reader))
        lowest[index] = std::max(lowest[index], lowest[reader]);
    for (int producer : node.producers)
      if (microbatch.isForward(producer))
        raise(index, layers[producer]);
    if (int original = microbatch.recomputes[index]; original >= 0)
      raise(index, layers[original]);
    // The parts of a tied weight's gradient stay where they arise.
    for (int64_t parameter : gradientOf(index))
      if (auto found = parameters.find(parameter);
          found != parameters.end() && numParts[parameter] == 1)
        raise(index, *found->second.begin());
    // In a layer that has the parameter anyway.
    for (mlir::Value value : node.reads)
      if (isParameter(value))
        if (auto found = parameters.find(*argumentNumber(value, kArgumentAttr));
            found != parameters.end()) {
          auto layer = found->second.lower_bound(lowest[index]);
          raise(index, layer == found->second.end() ? lowest[index] : *layer);
        }
  }

  void findHighest(int index) {
    int limit = numLayers - 1;
    bool hasOperand = false;
    for (int producer : ops[index].producers)
      if (isBackward(producer)) {
        limit = std::min(limit, highest[producer]);
        hasOperand = true;
      }
    highest[index] = hasOperand && !isFixed[index] ? limit : lowest[index];
  }

  /// Decides which free ops are at or above the border. Minimum cuts of smallest source side are
  /// nested, so a later border never takes below what an earlier one put above.
  void cutAt(int border) {
    MinCut cut;
    llvm::DenseMap<int, int32_t> nodes;
    for (int index : backward)
      if (lowest[index] < border && border <= highest[index])
        nodes[index] = cut.addNode();
    if (nodes.empty())
      return;
    auto nodeOf = [&](int index) {
      if (auto found = nodes.find(index); found != nodes.end())
        return found->second;
      return lowest[index] >= border ? MinCut::kSource : MinCut::kSink;
    };
    for (int index : backward) {
      if (nodeOf(index) == MinCut::kSink)
        continue;
      for (mlir::Value value : ops[index].op->getResults()) {
        llvm::SmallVector<int32_t> readers = readersOf(value, nodeOf);
        if (readers.empty())
          continue;
        // The value crosses once, however many ops below read it.
        int32_t crossing = cut.addNode();
        cut.addEdge(nodeOf(index), crossing, std::max<int64_t>(bytes(value.getType()), 1));
        for (int32_t reader : readers) {
          cut.addEdge(crossing, reader, MinCut::kUncuttable);
          cut.addEdge(reader, nodeOf(index), MinCut::kUncuttable); // operands are not below
        }
      }
    }
    std::vector<bool> isAbove = cut.sourceSide();
    for (auto [index, node] : nodes)
      if (isAbove[node])
        layers[index] = border;
  }

  template <typename NodeOf>
  llvm::SmallVector<int32_t> readersOf(mlir::Value value, NodeOf nodeOf) const {
    llvm::SmallVector<int32_t> result;
    for (int reader : ops[ops.producerOf(value)].readers)
      if (isBackward(reader) && nodeOf(reader) != MinCut::kSource &&
          llvm::is_contained(ops[reader].reads, value))
        result.push_back(nodeOf(reader));
    return result;
  }

  MicrobatchLayers &microbatch;
  const OuterOps &ops;
  std::vector<int> &layers;
  std::map<int64_t, std::set<int>> parameters;
  std::map<int64_t, int> numParts;
  std::vector<int> backward, lowest, highest;
  std::vector<bool> isFixed;
  int numLayers = 1;
};

} // namespace

void assignBackwardLayers(MicrobatchLayers &microbatch) { BackwardLayers(microbatch).run(); }

} // namespace alpa
