// Backward ops follow the forward. From the gradients up, an op belongs to the highest of the
// layers of its readers, of the forward values and parameters it reads, of the forward op that it
// computes again, and of the parameter whose gradient it is. So data flows from higher layers to
// lower ones.
//
// That is the lowest layer possible. As far as the values it reads are in higher layers too, the op
// may as well belong there (the sum of two cotangents: one value crosses instead of two). Such ops
// go where the fewest bytes flow between layers: a minimum cut for every border between layers.

#include "Layers.h"
#include "alpa/IR/Stablehlo.h"
#include "core/layers/MinCut.h"

namespace alpa {
namespace {

class BackwardLayers {
public:
  explicit BackwardLayers(MicrobatchLayers &microbatch)
      : microbatch(microbatch), ops(microbatch.ops), layers(microbatch.layers),
        parameters(microbatch.parameterLayers()), lowest(ops.size(), 0), highest(ops.size()) {
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
        if (std::optional<int64_t> parameter = integerOf(number))
          result.push_back(*parameter);
    return result;
  }

  void raise(int index, int layer) { lowest[index] = std::max(lowest[index], layer); }

  /// The number of the gradient, if it is one that is not made of several parts.
  std::optional<int64_t> wholeGradient(int index) const {
    for (int64_t parameter : gradientOf(index))
      // None is counted of a sum that is not returned.
      if (auto parts = numParts.find(parameter);
          parts != numParts.end() && parts->second == 1 && parameters.count(parameter))
        return parameter;
    return std::nullopt;
  }

  /// Layers that have a parameter anyway.
  const std::set<int> *layersOf(mlir::Value value) const {
    if (!isParameter(value))
      return nullptr;
    auto found = parameters.find(*argumentNumber(value, kArgumentAttr));
    return found == parameters.end() ? nullptr : &found->second;
  }

  void findLowest(int index) {
    const OuterOp &node = ops[index];
    for (int reader : node.readers)
      if (isBackward(reader))
        raise(index, lowest[reader]);
    for (int producer : node.producers)
      if (microbatch.isForward(producer))
        raise(index, layers[producer]);
    if (int original = microbatch.recomputes[index]; original >= 0)
      raise(index, layers[original]);
    // The parts of a tied weight's gradient stay where they arise.
    if (std::optional<int64_t> parameter = wholeGradient(index))
      raise(index, *parameters.at(*parameter).begin());
    for (mlir::Value value : node.reads)
      if (const std::set<int> *known = layersOf(value))
        if (auto layer = known->lower_bound(lowest[index]); layer != known->end())
          raise(index, *layer);
  }

  void findHighest(int index) {
    const OuterOp &node = ops[index];
    highest[index] = lowest[index];
    if (microbatch.recomputes[index] >= 0 || wholeGradient(index) ||
        kindOf(node.op) == OpKind::OptimizationBarrier)
      return;
    int limit = lowest[index];
    bool hasOperand = false;
    for (int producer : node.producers)
      if (isBackward(producer)) {
        limit = hasOperand ? std::min(limit, highest[producer]) : highest[producer];
        hasOperand = true;
      }
    for (mlir::Value value : node.reads)
      while (limit > lowest[index] && !isThere(value, lowest[index], limit))
        --limit;
    highest[index] = limit;
    // A part of a gradient arises where its parameter is read.
    for (int64_t parameter : gradientOf(index))
      if (auto found = parameters.find(parameter); found != parameters.end())
        for (int layer : found->second)
          if (lowest[index] <= layer && layer <= limit)
            lowest[index] = highest[index] = layer;
  }

  /// Whether layers `first` to `last` have the value anyway: none is sent for the sake of the
  /// backward.
  bool isThere(mlir::Value value, int first, int last) const {
    int producer = ops.producerOf(value);
    if (producer >= 0 ? !microbatch.isForward(producer)
                      : argumentNumber(value, kAccumulatorAttr).has_value())
      return true;
    if (const std::set<int> *known = layersOf(value))
      return hasAll(*known, first, last);
    std::set<int> known;
    for (mlir::Operation *user : value.getUsers())
      if (int reader = ops.indexOf(user); reader >= 0 && !microbatch.isCloneable[reader])
        known.insert(isBackward(reader) ? lowest[reader] : layers[reader]);
    // On its way it passes all layers up to the last.
    return producer >= 0 ? *known.rbegin() >= last : hasAll(known, first, last);
  }

  static bool hasAll(const std::set<int> &layers, int first, int last) {
    return std::distance(layers.lower_bound(first), layers.upper_bound(last)) == last - first + 1;
  }

  /// Decides which free ops are at or above the border. The minimum cuts of largest source side are
  /// nested: what is above a border is above those below it.
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
      for (int reader : ops[index].readers)
        if (isBackward(reader)) // operands are not below
          cut.addEdge(nodeOf(reader), nodeOf(index), MinCut::kUncuttable);
      for (mlir::Value value : ops[index].op->getResults()) {
        llvm::SmallVector<int32_t> readers = readersOf(value, nodeOf);
        if (readers.empty())
          continue;
        // The value crosses once, however many ops below read it.
        int32_t crossing = cut.addNode();
        cut.addEdge(nodeOf(index), crossing, std::max<int64_t>(bytes(value.getType()), 1));
        for (int32_t reader : readers)
          cut.addEdge(crossing, reader, MinCut::kUncuttable);
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
  int numLayers = 1;
};

} // namespace

void assignBackwardLayers(MicrobatchLayers &microbatch) { BackwardLayers(microbatch).run(); }

} // namespace alpa
