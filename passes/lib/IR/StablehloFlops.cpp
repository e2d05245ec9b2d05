// What one execution of an op costs: floating-point operations and bytes.

#include "OpTable.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"
#include <cmath>

namespace alpa {
namespace {

double numElements(mlir::Type type) {
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor)
    return 0;
  double count = 1;
  for (int64_t size : tensor.getShape())
    count *= mlir::ShapedType::isDynamic(size) ? 1 : size;
  return count;
}

double numElements(mlir::ValueRange values, unsigned index) {
  return index < values.size() ? numElements(values[index].getType()) : 0;
}

/// The size of a dim, 1 where the tensor has no such dim.
double dimSize(mlir::ValueRange values, unsigned index, int64_t dim) {
  auto tensor = index < values.size()
                    ? llvm::dyn_cast<mlir::RankedTensorType>(values[index].getType())
                    : mlir::RankedTensorType();
  if (!tensor || dim < 0 || dim >= tensor.getRank() || tensor.isDynamicDim(dim))
    return 1;
  return tensor.getDimSize(dim);
}

double rankOf(mlir::ValueRange values, unsigned index) {
  auto tensor = index < values.size()
                    ? llvm::dyn_cast<mlir::RankedTensorType>(values[index].getType())
                    : mlir::RankedTensorType();
  return tensor ? tensor.getRank() : 0;
}

double product(llvm::ArrayRef<int64_t> sizes) {
  double result = 1;
  for (int64_t size : sizes)
    result *= size;
  return result;
}

/// What the body of a reduce or sort costs per pair of elements.
double bodyFlops(mlir::Operation *op) {
  double total = 0;
  for (mlir::Region &region : op->getRegions())
    for (mlir::Operation &inner : region.getOps())
      total += flops(&inner);
  return total;
}

double dotFlops(mlir::Operation *op) {
  mlir::FailureOr<DotDims> dims = dotDims(op);
  if (mlir::failed(dims))
    return 0;
  double depth = 1;
  for (int64_t dim : dims->lhsContracting)
    depth *= dimSize(op->getOperands(), 0, dim);
  return 2 * numElements(op->getResults(), 0) * depth;
}

/// Every output element sums over the kernel's elements of its output feature. Of an input with
/// zeros between its elements (the gradient of a strided convolution) only the real elements count.
double convFlops(mlir::Operation *op) {
  mlir::FailureOr<ConvDims> dims = convDims(op);
  if (mlir::failed(dims))
    return 0;
  double depth = numElements(op->getOperands(), 1) /
                 std::max(1.0, dimSize(op->getOperands(), 1, dims->kernel.batch));
  return 2 * numElements(op->getResults(), 0) * depth / std::max(1.0, product(dims->inputDilation));
}

double windowFlops(mlir::Operation *op) {
  mlir::FailureOr<Dims> window = windowDims(op);
  return mlir::failed(window) ? 0
                              : numElements(op->getResults(), 0) * product(*window) * bodyFlops(op);
}

/// n log n comparisons along the sorted dim.
double sortFlops(mlir::Operation *op, int64_t dim) {
  double length = std::max(2.0, dimSize(op->getOperands(), 0, dim));
  return numElements(op->getOperands(), 0) * std::log2(length) * std::max(1.0, bodyFlops(op));
}

/// The last `numDims` dims hold one transform or matrix; this is its number of elements.
double trailingElements(mlir::Operation *op, unsigned operand, int numDims) {
  double count = 1, rank = rankOf(op->getOperands(), operand);
  for (int i = 1; i <= numDims; ++i)
    count *= dimSize(op->getOperands(), operand, static_cast<int64_t>(rank) - i);
  return count;
}

double fftFlops(mlir::Operation *op) {
  double length = 1;
  if (auto lengths = op->getAttrOfType<mlir::DenseI64ArrayAttr>("fft_length"))
    length = product(lengths.asArrayRef());
  return 5 * numElements(op->getOperands(), 0) * std::log2(std::max(2.0, length));
}

} // namespace

double flops(mlir::Operation *op) {
  const OpEntry &entry = entryOf(op);
  mlir::ValueRange operands = op->getOperands(), results = op->getResults();
  switch (entry.kind) {
  case OpKind::Elementwise:
    return entry.flopsPerElement * numElements(results, 0);
  case OpKind::DotGeneral:
    return dotFlops(op);
  case OpKind::RaggedDot: // every row meets the matrix of one group
    return 2 * numElements(results, 0) *
           dimSize(operands, 0, static_cast<int64_t>(rankOf(operands, 0)) - 1);
  case OpKind::Convolution:
    return convFlops(op);
  case OpKind::Reduce:
    return numElements(operands, 0) * bodyFlops(op);
  case OpKind::ReduceWindow:
    return windowFlops(op);
  case OpKind::SelectAndScatter:
    return numElements(operands, 0) * bodyFlops(op);
  case OpKind::Scatter:
    return numElements(operands, operands.size() - 1) * bodyFlops(op);
  case OpKind::Sort: {
    auto dim = op->getAttrOfType<mlir::IntegerAttr>("dimension");
    return sortFlops(op, dim ? dim.getInt() : 0);
  }
  case OpKind::TopK:
    return sortFlops(op, static_cast<int64_t>(rankOf(operands, 0)) - 1);
  case OpKind::Fft:
    return fftFlops(op);
  case OpKind::Cholesky: // n³/3 for each matrix of n² elements
    return numElements(operands, 0) * std::sqrt(trailingElements(op, 0, 2)) / 3;
  case OpKind::TriangularSolve: // n² for each right-hand side of n elements
    return numElements(operands, 1) * std::sqrt(trailingElements(op, 0, 2));
  case OpKind::RngBitGenerator: // about ten rounds of add, rotate, xor
    return 10 * numElements(results, results.size() - 1);
  default:
    return 0;
  }
}

int64_t bytes(mlir::Type type) {
  if (auto tuple = llvm::dyn_cast<mlir::TupleType>(type)) {
    int64_t total = 0;
    for (mlir::Type element : tuple.getTypes())
      total += bytes(element);
    return total;
  }
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor)
    return 0;
  mlir::Type element = tensor.getElementType();
  double parts = 1;
  if (auto complex = llvm::dyn_cast<mlir::ComplexType>(element)) {
    element = complex.getElementType();
    parts = 2;
  }
  double bits = element.isInteger(1)                  ? 8
                : element.isIntOrFloat()              ? element.getIntOrFloatBitWidth()
                : llvm::isa<mlir::IndexType>(element) ? 64
                                                      : 32;
  return static_cast<int64_t>(std::ceil(numElements(tensor) * parts * bits / 8));
}

bool isFloating(mlir::Type type) {
  return llvm::isa<mlir::FloatType, mlir::ComplexType>(mlir::getElementTypeOrSelf(type));
}

} // namespace alpa
