// Windows of tensors that constants index: slices, updates, and gathers and scatters of one window.

#include "TextCursor.h"
#include "alpa/IR/StablehloConstants.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringMap.h"

namespace alpa {
namespace {

llvm::ArrayRef<int64_t> shapeOf(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type.getShape() : llvm::ArrayRef<int64_t>();
}

std::optional<int64_t> startAt(mlir::Value indices, llvm::ArrayRef<int64_t> place) {
  std::optional<llvm::APInt> value = integerElement(indices, place);
  if (!value)
    return std::nullopt;
  bool isUnsigned = mlir::getElementTypeOrSelf(indices.getType()).isUnsignedInteger();
  return isUnsigned ? static_cast<int64_t>(value->getLimitedValue(INT64_MAX))
                    : value->getSExtValue();
}

bool fits(const Window &window, llvm::ArrayRef<int64_t> shape) {
  return llvm::all_of(llvm::zip(window.starts, window.sizes, shape), [](auto dim) {
    auto [start, size, whole] = dim;
    return start >= 0 && start + size <= whole;
  });
}

void clamp(Window &window, llvm::ArrayRef<int64_t> shape) {
  for (auto [start, size, whole] : llvm::zip(window.starts, window.sizes, shape))
    start = std::clamp<int64_t>(start, 0, whole - size);
}

std::optional<Window> windowOfSlice(mlir::Operation *op) {
  auto dims = sliceDims(op);
  if (mlir::failed(dims) || llvm::any_of(dims->strides, [](int64_t stride) { return stride != 1; }))
    return std::nullopt;
  Window window = {dims->starts, {}};
  for (auto [start, limit] : llvm::zip(dims->starts, dims->limits))
    window.sizes.push_back(limit - start);
  return window;
}

/// Starts are the scalar operands from `first` on.
std::optional<Window> windowOfStarts(mlir::Operation *op, unsigned first,
                                     llvm::ArrayRef<int64_t> sizes) {
  llvm::ArrayRef<int64_t> shape = shapeOf(op->getOperand(0));
  if (op->getNumOperands() != first + shape.size() || sizes.size() != shape.size())
    return std::nullopt;
  Window window = {{}, Dims(sizes)};
  for (mlir::Value operand : op->getOperands().drop_front(first)) {
    std::optional<int64_t> start = startAt(operand, {});
    if (!start)
      return std::nullopt;
    window.starts.push_back(*start);
  }
  clamp(window, shape);
  return window;
}

/// Starts are the elements of the only index vector, in the order of `dims`.
std::optional<Window> windowOfIndices(mlir::Operation *op, llvm::ArrayRef<int64_t> dims,
                                      Dims sizes) {
  mlir::Value indices = op->getOperand(1);
  llvm::ArrayRef<int64_t> shape = shapeOf(op->getOperand(0)), places = shapeOf(indices);
  int64_t count = 1;
  for (int64_t size : places)
    count *= size;
  if (count != static_cast<int64_t>(dims.size()) || sizes.size() != shape.size())
    return std::nullopt; // several windows
  Window window = {Dims(shape.size(), 0), std::move(sizes)};
  for (auto [k, dim] : llvm::enumerate(dims)) {
    Dims place(places.size(), 0);
    for (auto [i, size] : llvm::enumerate(places))
      if (size > 1)
        place[i] = k;
    std::optional<int64_t> start = startAt(indices, place);
    if (!start || dim < 0 || dim >= static_cast<int64_t>(shape.size()))
      return std::nullopt;
    window.starts[dim] = *start;
  }
  return window;
}

std::optional<Window> windowOfGather(mlir::Operation *op) {
  mlir::FailureOr<IndexedDims> dims = indexedDims(op);
  auto sizes = op->getAttrOfType<mlir::DenseI64ArrayAttr>("slice_sizes");
  if (mlir::failed(dims) || !sizes || !dims->batching.empty())
    return std::nullopt;
  std::optional<Window> window = windowOfIndices(op, dims->indexed, Dims(sizes.asArrayRef()));
  if (window)
    clamp(*window, shapeOf(op->getOperand(0)));
  return window;
}

std::optional<Window> windowOfScatter(mlir::Operation *op) {
  mlir::FailureOr<IndexedDims> dims = indexedDims(op);
  if (op->getNumOperands() != 3 || mlir::failed(dims) || !dims->batching.empty())
    return std::nullopt;
  const Dims &windowDims = dims->window;
  Dims inserted = dims->dropped, sizes;
  llvm::ArrayRef<int64_t> shape = shapeOf(op->getOperand(0)), updates = shapeOf(op->getOperand(2));
  if (inserted.size() + windowDims.size() != shape.size())
    return std::nullopt;
  if (llvm::any_of(windowDims, [&](int64_t dim) {
        return dim < 0 || dim >= static_cast<int64_t>(updates.size());
      }))
    return std::nullopt;
  auto next = windowDims.begin();
  llvm::sort(inserted);
  if (std::adjacent_find(inserted.begin(), inserted.end()) != inserted.end() ||
      llvm::any_of(inserted, [&](int64_t dim) {
        return dim < 0 || dim >= static_cast<int64_t>(shape.size());
      }))
    return std::nullopt;
  for (int64_t dim = 0; dim < static_cast<int64_t>(shape.size()); ++dim)
    sizes.push_back(llvm::is_contained(inserted, dim) ? 1 : updates[*next++]);
  std::optional<Window> window = windowOfIndices(op, dims->indexed, sizes);
  return window && fits(*window, shape) ? window : std::nullopt;
}

} // namespace

std::optional<Dims> lastStartsOfOnlyWindow(mlir::Operation *op) {
  if (kindOf(op) != OpKind::Gather || op->getNumOperands() != 2)
    return std::nullopt;
  mlir::FailureOr<IndexedDims> dims = indexedDims(op);
  auto sizes = op->getAttrOfType<mlir::DenseI64ArrayAttr>("slice_sizes");
  auto indices = llvm::dyn_cast<mlir::RankedTensorType>(op->getOperand(1).getType());
  llvm::ArrayRef<int64_t> shape = shapeOf(op->getOperand(0));
  if (mlir::failed(dims) || !sizes || !indices || !indices.hasStaticShape() ||
      !llvm::isa<mlir::IntegerType>(indices.getElementType()) ||
      sizes.size() != static_cast<int64_t>(shape.size()))
    return std::nullopt;
  if (indices.getNumElements() != static_cast<int64_t>(dims->indexed.size()))
    return std::nullopt; // several windows
  Dims last;
  for (int64_t dim : dims->indexed) {
    if (dim < 0 || dim >= static_cast<int64_t>(shape.size()))
      return std::nullopt;
    last.push_back(shape[dim] - sizes[dim]);
  }
  return last;
}

std::optional<Window> constantWindow(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Slice:
    return windowOfSlice(op);
  case OpKind::DynamicSlice:
    return windowOfStarts(op, 1, shapeOf(op->getResult(0)));
  case OpKind::DynamicUpdateSlice:
    return windowOfStarts(op, 2, shapeOf(op->getOperand(1)));
  case OpKind::Gather:
    return windowOfGather(op);
  case OpKind::Scatter:
    return windowOfScatter(op);
  default:
    return std::nullopt;
  }
}

} // namespace alpa
