// x[arange(n), y] reads element y[i] of row i: a gather whose rows are walked along with the
// indices (batching dims), which any dim of rows can be split for. The same of scatters.

#include "Normalize.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/IR/StablehloConstants.h"

namespace alpa {
namespace {

class BatchGather {
public:
  explicit BatchGather(mlir::Operation *op) : op(op) {}

  void run() {
    mlir::FailureOr<IndexedDims> read = indexedDims(op);
    if (mlir::failed(read) || op->getNumOperands() < 2 || !findTypes())
      return;
    dims = *read;
    if (dims.indexVectorDim >= index.getRank() || dims.indexed.size() < 2)
      return;
    for (int part = static_cast<int>(dims.indexed.size()) - 1; part >= 0; --part)
      if (dims.indexed.size() > 1)
        if (std::optional<int> along = alongOf(part))
          walkAlong(part, *along);
  }

private:
  bool findTypes() {
    whole = llvm::dyn_cast<mlir::RankedTensorType>(op->getOperand(0).getType());
    index = llvm::dyn_cast<mlir::RankedTensorType>(op->getOperand(1).getType());
    return whole && index && whole.hasStaticShape() && index.hasStaticShape();
  }

  /// The dim of the indices along which this element of index vectors counts the rows of the dim it
  /// indexes.
  std::optional<int> alongOf(int part) const {
    const int64_t dim = dims.indexed[part];
    if (!llvm::is_contained(dims.dropped, dim) || dim >= whole.getRank())
      return std::nullopt;
    mlir::Value element = elementOf(part);
    std::optional<int> along = element ? countingDim(element) : std::nullopt;
    if (!along || *along == dims.indexVectorDim || llvm::is_contained(dims.indexBatching, *along) ||
        index.getDimSize(*along) != whole.getDimSize(dim))
      return std::nullopt;
    return along;
  }

  /// Where index vectors are concatenated of their elements, one of those.
  mlir::Value elementOf(int part) const {
    mlir::Operation *parts = op->getOperand(1).getDefiningOp();
    if (!parts || kindOf(parts) != OpKind::Concatenate)
      return {};
    mlir::FailureOr<int64_t> along = concatenateDim(parts);
    if (mlir::failed(along) || *along != dims.indexVectorDim ||
        parts->getNumOperands() != dims.indexed.size())
      return {};
    return parts->getOperand(part);
  }

  void walkAlong(int part, int along) {
    const int64_t dim = dims.indexed[part];
    mlir::OpBuilder builder(op);
    StablehloBuilder make(builder, op->getLoc());
    llvm::SmallVector<mlir::Value> left;
    mlir::Operation *parts = op->getOperand(1).getDefiningOp();
    for (auto [i, element] : llvm::enumerate(parts->getOperands()))
      if (static_cast<int>(i) != part)
        left.push_back(element);
    op->setOperand(1, left.size() == 1
                          ? left.front()
                          : make.concatenate(left, static_cast<int>(dims.indexVectorDim)));
    dims.indexed.erase(dims.indexed.begin() + part);
    dims.dropped.erase(llvm::find(dims.dropped, dim));
    auto place = llvm::upper_bound(dims.batching, dim) - dims.batching.begin();
    dims.batching.insert(dims.batching.begin() + place, dim);
    dims.indexBatching.insert(dims.indexBatching.begin() + place, along);
    setIndexedDims(op, dims);
    for (llvm::StringRef promise : {"indices_are_sorted", "unique_indices"}) // of whole vectors
      if (op->getAttr(promise))
        op->setAttr(promise, builder.getBoolAttr(false));
    op->removeDiscardableAttr(kShardingRuleAttr);
    findTypes();
  }

  mlir::Operation *op;
  mlir::RankedTensorType whole, index;
  IndexedDims dims;
};

} // namespace

void batchGathers(mlir::Region &region) {
  region.walk([](mlir::Operation *op) {
    if (kindOf(op) == OpKind::Gather || kindOf(op) == OpKind::Scatter)
      BatchGather(op).run();
  });
}

} // namespace alpa
