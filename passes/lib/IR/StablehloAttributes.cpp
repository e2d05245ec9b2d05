// Reads the attributes of StableHLO's ops: dimension numbers, strides, padding, names of functions.

#include "TextCursor.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/StringSwitch.h"

namespace alpa {
namespace {

/// An attribute that lists integers: array<i64: ...> or dense<...>.
mlir::FailureOr<Dims> integers(mlir::Operation *op, llvm::StringRef name) {
  mlir::Attribute attr = op->getAttr(name);
  if (auto array = llvm::dyn_cast_or_null<mlir::DenseI64ArrayAttr>(attr))
    return Dims(array.asArrayRef());
  auto dense = llvm::dyn_cast_or_null<mlir::DenseIntElementsAttr>(attr);
  if (!dense)
    return mlir::failure();
  Dims values;
  for (const llvm::APInt &value : dense)
    values.push_back(value.getSExtValue());
  return values;
}

/// As integers(), `count` times `fill` where the attribute is not there.
mlir::FailureOr<Dims> integersOr(mlir::Operation *op, llvm::StringRef name, size_t count,
                                 int64_t fill) {
  if (!op->hasAttr(name))
    return Dims(count, fill);
  mlir::FailureOr<Dims> values = integers(op, name);
  if (mlir::failed(values) || values->size() != count)
    return mlir::failure();
  return values;
}

mlir::FailureOr<int64_t> integer(mlir::Operation *op, llvm::StringRef name) {
  if (auto attr = op->getAttrOfType<mlir::IntegerAttr>(name))
    return attr.getInt();
  return mlir::failure();
}

/// The tensor type of operand `index`, null where there is none.
mlir::RankedTensorType operandType(mlir::Operation *op, unsigned index) {
  if (index >= op->getNumOperands())
    return {};
  return llvm::dyn_cast<mlir::RankedTensorType>(op->getOperand(index).getType());
}

/// True when every entry is a dim of a tensor of this rank.
bool areDims(llvm::ArrayRef<int64_t> dims, mlir::RankedTensorType type) {
  return type && llvm::all_of(dims, [&](int64_t dim) { return dim >= 0 && dim < type.getRank(); });
}

/// One part of `[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]`: its two letters and its spatial dims in
/// order.
ConvTensorDims parseConvTensor(TextCursor &cursor, llvm::StringRef batch, llvm::StringRef feature) {
  ConvTensorDims dims;
  int64_t position = 0;
  cursor.list("[", "]", [&] {
    if (cursor.accept(batch)) {
      dims.batch = position++;
    } else if (cursor.accept(feature)) {
      dims.feature = position++;
    } else if (cursor.accept("?")) {
      ++position;
    } else {
      int64_t spatial = cursor.integer();
      if (spatial < 0 || spatial > 64)
        return cursor.fail("a spatial dim");
      if (static_cast<size_t>(spatial) >= dims.spatial.size())
        dims.spatial.resize(spatial + 1, -1);
      dims.spatial[spatial] = position++;
    }
  });
  return dims;
}

bool isWellFormed(const ConvTensorDims &dims, mlir::RankedTensorType type) {
  return areDims({dims.batch, dims.feature}, type) && areDims(dims.spatial, type);
}

} // namespace

mlir::FailureOr<DotDims> dotDims(mlir::Operation *op) {
  mlir::Attribute attr = op->getAttr("dot_dimension_numbers");
  if (kindOf(op) != OpKind::DotGeneral || !attr)
    return mlir::failure();
  std::string text = printed(attr);
  TextCursor cursor(text);
  DotDims dims;
  cursor.list("#stablehlo.dot<", ">", [&] {
    llvm::StringRef key = cursor.word();
    Dims *list = llvm::StringSwitch<Dims *>(key)
                     .Case("lhs_batching_dimensions", &dims.lhsBatch)
                     .Case("rhs_batching_dimensions", &dims.rhsBatch)
                     .Case("lhs_contracting_dimensions", &dims.lhsContracting)
                     .Case("rhs_contracting_dimensions", &dims.rhsContracting)
                     .Default(nullptr);
    if (!list)
      return cursor.fail("a dimension list of dot_general");
    cursor.expect("=");
    cursor.list("[", "]", [&] { list->push_back(cursor.integer()); });
  });
  mlir::RankedTensorType lhs = operandType(op, 0), rhs = operandType(op, 1);
  if (cursor.failed() || !areDims(dims.lhsBatch, lhs) || !areDims(dims.lhsContracting, lhs) ||
      !areDims(dims.rhsBatch, rhs) || !areDims(dims.rhsContracting, rhs))
    return mlir::failure();
  return dims;
}

mlir::FailureOr<ConvDims> convDims(mlir::Operation *op) {
  mlir::Attribute attr = op->getAttr("dimension_numbers");
  if (kindOf(op) != OpKind::Convolution || !attr || op->getNumResults() != 1)
    return mlir::failure();
  std::string text = printed(attr);
  TextCursor cursor(text);
  ConvDims dims;
  cursor.expect("#stablehlo.conv<");
  dims.input = parseConvTensor(cursor, "b", "f");
  cursor.expect("x");
  dims.kernel = parseConvTensor(cursor, "o", "i");
  cursor.expect("->");
  dims.output = parseConvTensor(cursor, "b", "f");
  auto outputType = llvm::dyn_cast<mlir::RankedTensorType>(op->getResult(0).getType());
  if (cursor.failed() || !isWellFormed(dims.input, operandType(op, 0)) ||
      !isWellFormed(dims.kernel, operandType(op, 1)) || !isWellFormed(dims.output, outputType))
    return mlir::failure();

  size_t rank = dims.input.spatial.size();
  auto strides = integersOr(op, "window_strides", rank, 1);
  auto padding = integersOr(op, "padding", 2 * rank, 0);
  auto inputDilation = integersOr(op, "lhs_dilation", rank, 1);
  auto kernelDilation = integersOr(op, "rhs_dilation", rank, 1);
  auto featureGroups = integer(op, "feature_group_count");
  auto batchGroups = integer(op, "batch_group_count");
  if (mlir::failed(strides) || mlir::failed(padding) || mlir::failed(inputDilation) ||
      mlir::failed(kernelDilation) || mlir::failed(featureGroups) || mlir::failed(batchGroups))
    return mlir::failure();
  dims.strides = *strides;
  for (size_t i = 0; i < rank; ++i) {
    dims.paddingLow.push_back((*padding)[2 * i]);
    dims.paddingHigh.push_back((*padding)[2 * i + 1]);
  }
  dims.inputDilation = *inputDilation;
  dims.kernelDilation = *kernelDilation;
  dims.featureGroups = *featureGroups;
  dims.batchGroups = *batchGroups;
  return dims;
}

mlir::FailureOr<Dims> broadcastDims(mlir::Operation *op) {
  return integers(op, "broadcast_dimensions");
}
mlir::FailureOr<Dims> permutation(mlir::Operation *op) { return integers(op, "permutation"); }
mlir::FailureOr<Dims> reducedDims(mlir::Operation *op) { return integers(op, "dimensions"); }
mlir::FailureOr<Dims> windowDims(mlir::Operation *op) { return integers(op, "window_dimensions"); }
mlir::FailureOr<int64_t> concatenateDim(mlir::Operation *op) { return integer(op, "dimension"); }
mlir::FailureOr<int64_t> iotaDim(mlir::Operation *op) { return integer(op, "iota_dimension"); }

mlir::FailureOr<SliceDims> sliceDims(mlir::Operation *op) {
  auto starts = integers(op, "start_indices"), limits = integers(op, "limit_indices"),
       strides = integers(op, "strides");
  if (mlir::failed(starts) || mlir::failed(limits) || mlir::failed(strides) ||
      starts->size() != limits->size() || starts->size() != strides->size())
    return mlir::failure();
  return SliceDims{*starts, *limits, *strides};
}

void forgetWhereSlicesStart(mlir::Operation *root) {
  auto nothing = mlir::UnitAttr::get(root->getContext());
  root->walk([&](mlir::Operation *op) {
    if (kindOf(op) != OpKind::Slice)
      return;
    for (llvm::StringRef bound : {"start_indices", "limit_indices"})
      op->setAttr(bound, nothing); // an op that is not registered must keep its properties
  });
}

std::optional<int> rightHandSideDim(mlir::Operation *op) {
  mlir::RankedTensorType type = op->getNumOperands() == 2 ? operandType(op, 1) : nullptr;
  if (!type || type.getRank() < 2 || op->getNumResults() != 1 || op->getResult(0).getType() != type)
    return std::nullopt;
  bool isLeft = false;
  if (kindOf(op) == OpKind::TriangularSolve) {
    auto left = op->getAttrOfType<mlir::BoolAttr>("left_side");
    if (!left)
      return std::nullopt;
    isLeft = left.getValue();
  } else {
    auto target = op->getAttrOfType<mlir::StringAttr>("call_target_name");
    auto config = op->getAttrOfType<mlir::DictionaryAttr>("mhlo.backend_config");
    auto side = config ? config.getAs<mlir::IntegerAttr>("side") : mlir::IntegerAttr();
    if (kindOf(op) != OpKind::CustomCall || !target || !side ||
        !target.getValue().starts_with("lapack_") || !target.getValue().ends_with("trsm_ffi"))
      return std::nullopt;
    isLeft = side.getValue() == 'L';
  }
  return static_cast<int>(type.getRank()) - (isLeft ? 1 : 2);
}

mlir::FailureOr<PadDims> padDims(mlir::Operation *op) {
  auto low = integers(op, "edge_padding_low"), high = integers(op, "edge_padding_high"),
       interior = integers(op, "interior_padding");
  if (mlir::failed(low) || mlir::failed(high) || mlir::failed(interior) ||
      low->size() != high->size() || low->size() != interior->size())
    return mlir::failure();
  return PadDims{*low, *high, *interior};
}

mlir::FlatSymbolRefAttr callee(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Call:
    return op->getAttrOfType<mlir::FlatSymbolRefAttr>("callee");
  case OpKind::Composite:
    return op->getAttrOfType<mlir::FlatSymbolRefAttr>("decomposition");
  default:
    return {};
  }
}

} // namespace alpa
