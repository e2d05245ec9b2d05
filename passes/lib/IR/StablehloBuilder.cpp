// See the header.

#include "alpa/IR/StablehloBuilder.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/TypeUtilities.h"

namespace alpa {
namespace {

llvm::StringRef opName(ReductionKind kind) {
  switch (kind) {
  case ReductionKind::Mul:
    return "stablehlo.multiply";
  case ReductionKind::Min:
    return "stablehlo.minimum";
  case ReductionKind::Max:
    return "stablehlo.maximum";
  case ReductionKind::And:
    return "stablehlo.and";
  case ReductionKind::Or:
    return "stablehlo.or";
  default:
    return "stablehlo.add";
  }
}

} // namespace

mlir::RankedTensorType tensorOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}

mlir::RankedTensorType withSize(mlir::RankedTensorType type, int dim, int64_t size) {
  llvm::SmallVector<int64_t> shape(type.getShape());
  shape[dim] = size;
  return type.clone(shape);
}

mlir::Operation *StablehloBuilder::make(llvm::StringRef name, mlir::TypeRange types,
                                        mlir::ValueRange operands,
                                        llvm::ArrayRef<mlir::NamedAttribute> attributes,
                                        int numRegions) {
  mlir::OperationState state(loc, name);
  state.addTypes(types);
  state.addOperands(operands);
  if (!attributes.empty())
    state.propertiesAttr = builder.getDictionaryAttr(attributes);
  for (int i = 0; i < numRegions; ++i)
    state.addRegion();
  return builder.create(state);
}

mlir::Value StablehloBuilder::splat(mlir::RankedTensorType type, mlir::Attribute element) {
  mlir::Attribute value = mlir::DenseElementsAttr::get(type, {element});
  return make("stablehlo.constant", type, {}, builder.getNamedAttr("value", value))->getResult(0);
}

mlir::Value StablehloBuilder::integer(int64_t value) {
  return integer(value, mlir::RankedTensorType::get({}, builder.getI32Type()));
}

mlir::Value StablehloBuilder::integer(int64_t value, mlir::RankedTensorType type) {
  return splat(type, builder.getIntegerAttr(type.getElementType(), value));
}

mlir::DenseElementsAttr StablehloBuilder::elements(mlir::RankedTensorType type,
                                                   llvm::ArrayRef<int64_t> values) {
  llvm::SmallVector<mlir::Attribute> all;
  for (int64_t value : values)
    all.push_back(mlir::IntegerAttr::get(type.getElementType(), value));
  return mlir::DenseElementsAttr::get(type, all);
}

mlir::Value StablehloBuilder::clamp(mlir::Value value, mlir::DenseElementsAttr most) {
  mlir::RankedTensorType type = tensorOf(value);
  mlir::Value least = splat(type, builder.getZeroAttr(type.getElementType()));
  mlir::Value upper =
      make("stablehlo.constant", type, {}, builder.getNamedAttr("value", most))->getResult(0);
  return make("stablehlo.clamp", type, {least, value, upper})->getResult(0);
}

mlir::Value StablehloBuilder::reshape(mlir::Value value, llvm::ArrayRef<int64_t> shape) {
  return make("stablehlo.reshape", tensorOf(value).clone(shape), value)->getResult(0);
}

mlir::Value StablehloBuilder::transpose(mlir::Value value, llvm::ArrayRef<int64_t> permutation) {
  llvm::SmallVector<int64_t> shape;
  for (int64_t dim : permutation)
    shape.push_back(tensorOf(value).getDimSize(dim));
  mlir::NamedAttribute dims =
      builder.getNamedAttr("permutation", builder.getDenseI64ArrayAttr(permutation));
  return make("stablehlo.transpose", tensorOf(value).clone(shape), value, dims)->getResult(0);
}

mlir::Value StablehloBuilder::broadcast(mlir::Value scalar, mlir::RankedTensorType type) {
  mlir::NamedAttribute dims =
      builder.getNamedAttr("broadcast_dimensions", builder.getDenseI64ArrayAttr({}));
  return make("stablehlo.broadcast_in_dim", type, scalar, dims)->getResult(0);
}

mlir::Value StablehloBuilder::convert(mlir::Value value, mlir::Type element) {
  if (tensorOf(value).getElementType() == element)
    return value;
  return make("stablehlo.convert", tensorOf(value).clone(element), value)->getResult(0);
}

mlir::Value StablehloBuilder::combine(ReductionKind kind, mlir::Value a, mlir::Value b) {
  return make(opName(kind), a.getType(), {a, b})->getResult(0);
}

mlir::Value StablehloBuilder::barrier(mlir::Value value) {
  return make("stablehlo.optimization_barrier", value.getType(), value)->getResult(0);
}

mlir::Value StablehloBuilder::subtract(mlir::Value a, mlir::Value b) {
  return make("stablehlo.subtract", a.getType(), {a, b})->getResult(0);
}

mlir::Value StablehloBuilder::divide(mlir::Value a, mlir::Value b) {
  return make("stablehlo.divide", a.getType(), {a, b})->getResult(0);
}

mlir::Value StablehloBuilder::slice(mlir::Value value, llvm::ArrayRef<int64_t> starts,
                                    llvm::ArrayRef<int64_t> limits) {
  llvm::SmallVector<int64_t> shape, strides(starts.size(), 1);
  for (auto [start, limit] : llvm::zip(starts, limits))
    shape.push_back(limit - start);
  mlir::NamedAttribute attributes[] = {
      builder.getNamedAttr("start_indices", builder.getDenseI64ArrayAttr(starts)),
      builder.getNamedAttr("limit_indices", builder.getDenseI64ArrayAttr(limits)),
      builder.getNamedAttr("strides", builder.getDenseI64ArrayAttr(strides))};
  return make("stablehlo.slice", tensorOf(value).clone(shape), value, attributes)->getResult(0);
}

mlir::Value StablehloBuilder::concatenate(mlir::ValueRange values, int dim) {
  llvm::SmallVector<int64_t> shape(tensorOf(values.front()).getShape());
  for (mlir::Value value : values.drop_front())
    shape[dim] += tensorOf(value).getDimSize(dim);
  mlir::NamedAttribute dimension =
      builder.getNamedAttr("dimension", builder.getI64IntegerAttr(dim));
  return make("stablehlo.concatenate", tensorOf(values.front()).clone(shape), values, dimension)
      ->getResult(0);
}

llvm::SmallVector<mlir::Value> StablehloBuilder::startsOf(mlir::Value value, int dim,
                                                          mlir::Value start) {
  llvm::SmallVector<mlir::Value> starts(tensorOf(value).getRank());
  for (auto [i, at] : llvm::enumerate(starts))
    at = static_cast<int>(i) == dim ? start : integer(0);
  return starts;
}

mlir::Value StablehloBuilder::dynamicSlice(mlir::Value value, int dim, mlir::Value start,
                                           int64_t size) {
  llvm::SmallVector<int64_t> shape(tensorOf(value).getShape());
  shape[dim] = size;
  llvm::SmallVector<mlir::Value> operands = {value};
  operands.append(startsOf(value, dim, start));
  mlir::NamedAttribute sizes =
      builder.getNamedAttr("slice_sizes", builder.getDenseI64ArrayAttr(shape));
  return make("stablehlo.dynamic_slice", tensorOf(value).clone(shape), operands, sizes)
      ->getResult(0);
}

mlir::Value StablehloBuilder::dynamicUpdateSlice(mlir::Value value, mlir::Value part, int dim,
                                                 mlir::Value start) {
  llvm::SmallVector<mlir::Value> operands = {value, part};
  operands.append(startsOf(value, dim, start));
  return make("stablehlo.dynamic_update_slice", value.getType(), operands)->getResult(0);
}

void StablehloBuilder::goOnWhileLess(mlir::Value counter, int64_t count) {
  mlir::Attribute direction =
      mlir::parseAttribute("#stablehlo<comparison_direction LT>", builder.getContext());
  mlir::Operation *less =
      make("stablehlo.compare", mlir::RankedTensorType::get({}, builder.getI1Type()),
           {counter, integer(count, tensorOf(counter))},
           builder.getNamedAttr("comparison_direction", direction));
  make("stablehlo.return", {}, less->getResults());
}

llvm::SmallVector<mlir::Value> StablehloBuilder::countedLoop(
    int64_t count, mlir::ValueRange carried,
    llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, mlir::ValueRange)> body) {
  llvm::SmallVector<mlir::Value> operands = {integer(0)};
  operands.append(carried.begin(), carried.end());
  mlir::ValueRange starts = operands;
  llvm::SmallVector<mlir::Location> locations(operands.size(), loc);
  mlir::Operation *loop = make("stablehlo.while", starts.getTypes(), operands, {}, 2);

  mlir::OpBuilder::InsertionGuard guard(builder);
  mlir::Block *condition =
      builder.createBlock(&whileCondition(loop), {}, starts.getTypes(), locations);
  goOnWhileLess(condition->getArgument(0), count);

  mlir::Block *block = builder.createBlock(&whileBody(loop), {}, starts.getTypes(), locations);
  mlir::Value index = block->getArgument(0);
  llvm::SmallVector<mlir::Value> returned = body(index, block->getArguments().drop_front());
  returned.insert(returned.begin(), add(index, integer(1)));
  make("stablehlo.return", {}, returned);
  return llvm::to_vector(llvm::map_range(
      loop->getResults().drop_front(), [](mlir::OpResult value) -> mlir::Value { return value; }));
}

mlir::Attribute identityElement(ReductionKind kind, mlir::Type element) {
  mlir::Builder builder(element.getContext());
  if (auto type = llvm::dyn_cast<mlir::ComplexType>(element)) {
    mlir::Attribute real = kind == ReductionKind::Add || kind == ReductionKind::Mul
                               ? identityElement(kind, type.getElementType())
                               : mlir::Attribute();
    mlir::Attribute imaginary = identityElement(ReductionKind::Add, type.getElementType());
    return real && imaginary ? builder.getArrayAttr({real, imaginary}) : mlir::Attribute();
  }
  if (auto type = llvm::dyn_cast<mlir::FloatType>(element)) {
    const llvm::fltSemantics &semantics = type.getFloatSemantics();
    switch (kind) {
    case ReductionKind::Add:
      return builder.getZeroAttr(type);
    case ReductionKind::Mul:
      return builder.getOneAttr(type);
    case ReductionKind::Min:
    case ReductionKind::Max:
      return mlir::FloatAttr::get(
          type, llvm::APFloat::semanticsHasInf(semantics)
                    ? llvm::APFloat::getInf(semantics, kind == ReductionKind::Max)
                    : llvm::APFloat::getLargest(semantics, kind == ReductionKind::Max));
    default:
      return {};
    }
  }
  auto type = llvm::dyn_cast<mlir::IntegerType>(element);
  if (!type)
    return {};
  unsigned width = type.getWidth();
  bool isUnsigned = type.isUnsigned() || width == 1;
  switch (kind) {
  case ReductionKind::Add:
  case ReductionKind::Or:
    return builder.getZeroAttr(type);
  case ReductionKind::Mul:
    return builder.getOneAttr(type);
  case ReductionKind::And:
    return mlir::IntegerAttr::get(type, llvm::APInt::getAllOnes(width));
  case ReductionKind::Min:
    return mlir::IntegerAttr::get(type, isUnsigned ? llvm::APInt::getMaxValue(width)
                                                   : llvm::APInt::getSignedMaxValue(width));
  case ReductionKind::Max:
    return mlir::IntegerAttr::get(type, isUnsigned ? llvm::APInt::getMinValue(width)
                                                   : llvm::APInt::getSignedMinValue(width));
  case ReductionKind::None:
    return {};
  }
  return {};
}

ReductionKind additionOf(mlir::Type type) {
  return mlir::getElementTypeOrSelf(type).isInteger(1) ? ReductionKind::Or : ReductionKind::Add;
}

mlir::Attribute splatElement(mlir::Value value) {
  mlir::Operation *op = value.getDefiningOp();
  while (op && (kindOf(op) == OpKind::BroadcastInDim || kindOf(op) == OpKind::Reshape))
    op = op->getOperand(0).getDefiningOp();
  if (!op || kindOf(op) != OpKind::Constant)
    return {};
  auto splat = llvm::dyn_cast_or_null<mlir::SplatElementsAttr>(op->getAttr("value"));
  const bool fits = splat && splat.getElementType() == mlir::getElementTypeOrSelf(value.getType());
  return fits ? splat.getSplatValue<mlir::Attribute>() : mlir::Attribute();
}

} // namespace alpa
