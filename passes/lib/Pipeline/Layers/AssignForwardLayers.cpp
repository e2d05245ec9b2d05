// Forward ops get layers from the layer DP. Cuts are those of an order of the ops, so two orders
// are tried: that of the program, and one in which every op comes right before it is first needed
// (programs may cast all parameters first, or prepare the decoder before the encoder).

#include "Layers.h"
#include "RepeatedBlocks.h"
#include "alpa/IR/Remark.h"
#include "alpa/IR/Stablehlo.h"
#include "core/layers/LayerDp.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Format.h"

namespace alpa {
namespace {

constexpr int32_t kMostLayersOfNoBlocks = 16;

/// What the DP found for one order.
struct Clustering {
  std::vector<int> order;
  LayerProblem problem;
  std::vector<int32_t> starts;
  LayerEvaluation evaluation;

  bool isBetterThan(const Clustering &other) const {
    auto cost = [](const Clustering &c) {
      return std::make_tuple(c.problem.maxLayerFlops, c.evaluation.crossingBytes,
                             c.evaluation.sumOfSquares);
    };
    return cost(*this) < cost(other);
  }
};

class ForwardLayers {
public:
  ForwardLayers(MicrobatchLayers &microbatch, const ForwardLayerOptions &options)
      : microbatch(microbatch), ops(microbatch.ops), options(options) {
    for (int index = 0; index < ops.size(); ++index)
      if (microbatch.isForward(index)) {
        forward.push_back(index);
        numHeavy += ops[index].isHeavy;
      }
  }

  llvm::LogicalResult run() {
    if (mlir::failed(chooseNumLayers()))
      return mlir::failure();
    keepsCheckpoints = problemFor(forward, true).mostLayers() >= numLayers;
    Clustering best = cluster(forward);
    if (Clustering other = cluster(orderByNeed()); other.isBetterThan(best))
      best = std::move(other);
    for (int32_t layer = 0; layer < numLayers; ++layer) {
      size_t end = layer + 1 < numLayers ? best.starts[layer + 1] : best.order.size();
      for (size_t i = best.starts[layer]; i < end; ++i)
        microbatch.layers[best.order[i]] = layer;
    }
    report(best);
    return mlir::success();
  }

private:
  llvm::LogicalResult chooseNumLayers() {
    const int32_t most = problemFor(forward, false).mostLayers();
    numLayers = static_cast<int32_t>(options.numLayers);
    if (options.numLayers == 0)
      numLayers = std::min(usefulLayers(), problemFor(forward, true).mostLayers());
    if (options.numLayers >= 0 && options.numLayers <= most)
      return mlir::success();
    auto function = ops.function();
    function.emitError("expected 1 to ")
        << most << " layers, one product or convolution of the forward pass each (0: chosen), got "
        << options.numLayers;
    return mlir::failure();
  }

  /// A layer for every repeated block of a deep model, and for what is before and behind them if it
  /// is worth one; in others, a few products each.
  int32_t usefulLayers() const {
    const RepeatedBlocks blocks(ops, forward);
    return blocks.numLayers().value_or(
        std::min(kMostLayersOfNoBlocks, std::max((numHeavy + 1) / 2, 1)));
  }

  LayerProblem problemFor(const std::vector<int> &order, bool keepCheckpoints) const {
    LayerProblem problem;
    problem.numLayers = numLayers;
    std::vector<int32_t> place(ops.size(), -1);
    for (int index : order) {
      place[index] = static_cast<int32_t>(problem.ops.size());
      // A model without products is cut by whatever computes.
      bool isHeavy = numHeavy > 0 ? ops[index].isHeavy : ops[index].flops > 0;
      problem.ops.push_back({ops[index].flops, isHeavy, true});
    }
    for (int index : order) {
      int32_t last = place[index];
      for (int reader : ops[index].readers)
        last = std::max(last, place[reader]);
      for (mlir::Value result : ops[index].op->getResults())
        problem.values.push_back({place[index], last, bytes(result.getType())});
    }
    for (const std::vector<int> &checkpoint : microbatch.checkpoints) {
      if (!keepCheckpoints)
        break;
      int32_t first = static_cast<int32_t>(order.size()), last = 0;
      for (int index : checkpoint) {
        first = std::min(first, place[index]);
        last = std::max(last, place[index]);
      }
      for (int32_t i = first + 1; i <= last; ++i)
        problem.ops[i].mayStartLayer = false;
    }
    return problem;
  }

  Clustering cluster(const std::vector<int> &order) const {
    Clustering result;
    result.order = order;
    result.problem = problemFor(order, keepsCheckpoints);
    LayerProblem &problem = result.problem;
    if (const RepeatedBlocks blocks(ops, order); blocks.numLayers() == numLayers)
      blocks.allowNoOtherStarts(problem);
    std::optional<double> least = leastMaxLayerFlops(problem);
    if (!least) { // this order tears a checkpointed region that the other keeps
      problem = problemFor(order, false);
      least = leastMaxLayerFlops(problem);
    }
    problem.maxLayerFlops = std::max(*least, evenFlops(problem) * (1 + options.flopsTolerance));
    result.starts = *solveLayers(problem);
    result.evaluation = problem.evaluate(result.starts);
    return result;
  }

  double evenFlops(const LayerProblem &problem) const { return problem.totalFlops() / numLayers; }

  /// From each result back: operands first, those with the most work behind them before others, so
  /// that short side branches come right before the op that needs them.
  std::vector<int> orderByNeed() const {
    std::vector<double> work(ops.size());
    std::vector<bool> isPlaced(ops.size());
    for (int index : forward) {
      for (int producer : ops[index].producers)
        work[index] = std::max(work[index], work[producer]);
      work[index] += ops[index].flops;
    }
    std::vector<int> order;
    std::vector<std::pair<int, std::vector<int>>> pending; // an op, operands still to visit
    auto open = [&](int index) {
      std::vector<int> producers;
      for (int producer : ops[index].producers)
        if (microbatch.isForward(producer))
          producers.push_back(producer);
      llvm::stable_sort(producers, [&](int a, int b) { return work[a] < work[b]; });
      pending.emplace_back(index, std::move(producers));
    };
    for (int root : forward) {
      if (llvm::any_of(ops[root].readers, [&](int i) { return microbatch.isForward(i); }))
        continue;
      for (open(root); !pending.empty();) {
        auto &[index, producers] = pending.back();
        if (!isPlaced[index] && !producers.empty()) {
          int producer = producers.back();
          producers.pop_back();
          if (!isPlaced[producer])
            open(producer);
          continue;
        }
        if (!isPlaced[index])
          order.push_back(index);
        isPlaced[index] = true;
        pending.pop_back();
      }
    }
    return order;
  }

  void report(const Clustering &found) {
    auto function = ops.function();
    const LayerProblem &problem = found.problem;
    if (!keepsCheckpoints)
      emitCodedRemark(function.getLoc(), "checkpoints-cut")
          << "checkpointed regions are cut: with them whole, at most "
          << problemFor(found.order, true).mostLayers() << " layers are possible, got "
          << numLayers;
    double tolerance = evenFlops(problem) > 0 ? problem.maxLayerFlops / evenFlops(problem) - 1 : 0;
    if (tolerance > options.flopsTolerance * (1 + 1e-9))
      emitCodedRemark(function.getLoc(), "uneven-layers")
          << "no layers have at most " << text(options.flopsTolerance)
          << " more flops than the average; raised flops-tolerance to " << text(tolerance);
    auto remark = emitCodedRemark(function.getLoc(), "layers");
    remark << numLayers << " layers, " << found.evaluation.crossingBytes
           << " bytes cross forward; flops ";
    llvm::interleaveComma(found.evaluation.flops, remark,
                          [&](double flops) { remark << text(flops); });
  }

  static std::string text(double number) {
    llvm::SmallString<16> buffer;
    llvm::raw_svector_ostream(buffer) << llvm::format("%.4g", number);
    return std::string(buffer);
  }

  MicrobatchLayers &microbatch;
  const OuterOps &ops;
  const ForwardLayerOptions &options;
  std::vector<int> forward; ///< in program order
  int numHeavy = 0;
  int32_t numLayers = 1;
  bool keepsCheckpoints = true;
};

} // namespace

llvm::LogicalResult assignForwardLayers(MicrobatchLayers &microbatch,
                                        const ForwardLayerOptions &options) {
  return ForwardLayers(microbatch, options).run();
}

} // namespace alpa
