// See the header.

#include "alpa/IR/CheckModule.h"
#include "CheckShapes.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include <limits>

namespace alpa {
namespace {

constexpr double kMaxBytes = 1125899906842624; // 2^50

/// How many operands, results and regions ops of one kind have at least, and at most.
struct Signature {
  unsigned minOperands, maxOperands, minResults, maxResults, numRegions = 0;
};
constexpr unsigned kAny = std::numeric_limits<unsigned>::max();

std::optional<Signature> signatureOf(OpKind kind) {
  switch (kind) {
  case OpKind::Constant:
  case OpKind::Iota:
    return Signature{0, 0, 1, 1};
  case OpKind::Elementwise:
    return Signature{1, kAny, 1, 1, kAny}; // stablehlo.map has a region
  case OpKind::BroadcastInDim:
  case OpKind::Reshape:
  case OpKind::Transpose:
  case OpKind::Slice:
  case OpKind::Reverse:
  case OpKind::Fft:
  case OpKind::Cholesky:
  case OpKind::BitcastConvert:
  case OpKind::ShardingConstraint:
    return Signature{1, 1, 1, 1};
  case OpKind::DynamicSlice:
  case OpKind::Concatenate:
    return Signature{1, kAny, 1, 1};
  case OpKind::DynamicUpdateSlice:
    return Signature{2, kAny, 1, 1};
  case OpKind::Pad:
  case OpKind::Gather:
  case OpKind::DotGeneral:
  case OpKind::Convolution:
  case OpKind::TriangularSolve:
    return Signature{2, 2, 1, 1};
  case OpKind::RaggedDot:
    return Signature{3, 3, 1, 1};
  case OpKind::Scatter:
    return Signature{3, kAny, 1, kAny, 1};
  case OpKind::Reduce:
  case OpKind::ReduceWindow:
    return Signature{2, kAny, 1, kAny, 1};
  case OpKind::SelectAndScatter:
    return Signature{3, 3, 1, 1, 2};
  case OpKind::Sort:
    return Signature{1, kAny, 1, kAny, 1};
  case OpKind::TopK:
    return Signature{1, 1, 2, 2};
  case OpKind::RngBitGenerator:
    return Signature{1, 1, 2, 2};
  case OpKind::Branch:
    return Signature{1, 1, 0, kAny, kAny};
  default:
    return std::nullopt;
  }
}

bool isBetween(unsigned count, unsigned least, unsigned most) {
  return least <= count && count <= most;
}

std::string counts(unsigned operands, unsigned results, unsigned regions) {
  return std::to_string(operands) + " operands, " + std::to_string(results) + " results and " +
         std::to_string(regions) + " regions";
}

std::string range(unsigned least, unsigned most) {
  return std::to_string(least) + (least == most  ? ""
                                  : most == kAny ? " or more"
                                                 : " to " + std::to_string(most));
}

/// But for what branches return, and that may be a token.
llvm::LogicalResult checkTensors(mlir::Operation *op) {
  if (!signatureOf(kindOf(op)) || kindOf(op) == OpKind::Branch)
    return mlir::success();
  for (mlir::TypeRange types :
       {mlir::TypeRange(op->getOperandTypes()), mlir::TypeRange(op->getResultTypes())})
    for (mlir::Type type : types)
      if (!llvm::isa<mlir::RankedTensorType>(type))
        return op->emitError("expected '") << op->getName() << "' to work on tensors, got " << type;
  return mlir::success();
}

llvm::LogicalResult checkSignature(mlir::Operation *op) {
  std::optional<Signature> wanted = signatureOf(kindOf(op));
  const unsigned operands = op->getNumOperands(), results = op->getNumResults(),
                 regions = op->getNumRegions();
  if (!wanted || (isBetween(operands, wanted->minOperands, wanted->maxOperands) &&
                  isBetween(results, wanted->minResults, wanted->maxResults) &&
                  (wanted->numRegions == kAny || regions == wanted->numRegions)))
    return mlir::success();
  return op->emitError("expected '")
         << op->getName() << "' to have " << range(wanted->minOperands, wanted->maxOperands)
         << " operands, " << range(wanted->minResults, wanted->maxResults) << " results and "
         << (wanted->numRegions == kAny ? "any number of" : std::to_string(wanted->numRegions))
         << " regions, got " << counts(operands, results, regions);
}

/// Operand `i`, and whatever stands for it inside, has the type of result `i`.
llvm::LogicalResult checkCarried(mlir::Operation *op) {
  auto check = [op](mlir::TypeRange types, llvm::StringRef what) -> llvm::LogicalResult {
    if (types == op->getResultTypes())
      return mlir::success();
    return op->emitError("expected ") << what << " of '" << op->getName() << "' to have types "
                                      << op->getResultTypes() << " as its results, got " << types;
  };
  auto returned = [](mlir::Region &region) { return region.front().back().getOperandTypes(); };
  switch (kindOf(op)) {
  case OpKind::While:
    if (!isWhile(op))
      return op->emitError("expected '") << op->getName()
                                         << "' to carry as many values into and out of its "
                                            "condition and body as it has results";
    if (mlir::failed(check(op->getOperandTypes(), "operands")) ||
        mlir::failed(check(whileCondition(op).getArgumentTypes(), "arguments of the condition")) ||
        mlir::failed(check(whileBody(op).getArgumentTypes(), "arguments of the body")))
      return mlir::failure();
    return check(returned(whileBody(op)), "values returned by the body");
  case OpKind::Branch:
    if (!isBranch(op) || op->getNumRegions() == 0)
      return op->emitError("expected every branch of '")
             << op->getName() << "' to return as many values as it has results";
    for (mlir::Region &region : op->getRegions())
      if (mlir::failed(check(returned(region), "values returned by a branch")))
        return mlir::failure();
    return mlir::success();
  case OpKind::OptimizationBarrier:
  case OpKind::ShardingConstraint:
    return check(op->getOperandTypes(), "operands");
  default:
    return mlir::success();
  }
}

/// An upper bound that does not overflow; dynamic dims count 1, as they do in bytes().
double maxBytes(mlir::Type type) {
  if (auto tuple = llvm::dyn_cast<mlir::TupleType>(type)) {
    double total = 0;
    for (mlir::Type element : tuple.getTypes())
      total += maxBytes(element);
    return total;
  }
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor)
    return 0;
  double elements = 16; // bytes of the largest
  for (int64_t size : tensor.getShape())
    elements *= size > 1 ? static_cast<double>(size) : 1.0;
  return elements;
}

llvm::LogicalResult checkSizes(mlir::TypeRange types,
                               llvm::function_ref<mlir::InFlightDiagnostic()> emitError) {
  for (mlir::Type type : types)
    if (maxBytes(type) > kMaxBytes)
      return emitError() << "expected tensors of at most 2^50 bytes, got " << type;
  return mlir::success();
}

/// The numbers that we write ourselves, on ops as on functions, arguments and results.
llvm::LogicalResult checkNumbers(mlir::DictionaryAttr attributes,
                                 llvm::function_ref<mlir::InFlightDiagnostic()> emitError) {
  constexpr llvm::StringLiteral names[] = {kOpIdAttr,        kStateAttr,      kGradientAttr,
                                           kArgumentAttr,    kResultAttr,     kPrologueAttr,
                                           kAccumulatorAttr, kMicrobatchAttr, kNumMicrobatchesAttr,
                                           kLayerAttr,       kStageAttr,      kRoundAttr};
  for (llvm::StringRef name : names) {
    mlir::Attribute attribute = attributes ? attributes.get(name) : mlir::Attribute();
    if (!attribute)
      continue;
    std::optional<int64_t> number = integerOf(attribute);
    if (!number || *number < 0 || *number > std::numeric_limits<int32_t>::max())
      return emitError() << "expected '" << name << "' to be an integer from 0 to 2^31 - 1, got "
                         << attribute;
  }
  return mlir::success();
}

/// MLIR's verifier knows of no order among the ops of a region of an op that is not registered.
llvm::LogicalResult checkOrder(mlir::Operation *op) {
  for (mlir::Value operand : op->getOperands()) {
    mlir::Block *block = operand.getParentBlock();
    mlir::Operation *reader = block->findAncestorOpInBlock(*op), *source = operand.getDefiningOp();
    const bool isBefore = reader && (!source || source->isBeforeInBlock(reader));
    if (!isBefore && (reader || block->getParent()->hasOneBlock()))
      return op->emitError("expected '")
             << op->getName() << "' to read values that are made before it, got one of type "
             << operand.getType() << " that is not";
  }
  return mlir::success();
}

llvm::LogicalResult checkOp(mlir::Operation *op) {
  auto emitError = [op] { return op->emitError(); };
  if (mlir::failed(checkOrder(op)) || mlir::failed(checkSignature(op)) ||
      mlir::failed(checkTensors(op)) || mlir::failed(checkCarried(op)) ||
      mlir::failed(checkShapes(op)) || mlir::failed(checkSizes(op->getResultTypes(), emitError)) ||
      mlir::failed(checkNumbers(op->getDiscardableAttrDictionary(), emitError)))
    return mlir::failure();
  for (mlir::Region &region : op->getRegions())
    for (mlir::Block &block : region) {
      if (mlir::failed(checkSizes(block.getArgumentTypes(), emitError)))
        return mlir::failure();
      if (block.empty() && !llvm::isa<mlir::ModuleOp>(op)) // whose block may be
        return op->emitError("expected every block in '")
               << op->getName() << "' to end in a terminator, got one without ops";
    }
  return mlir::success();
}

llvm::LogicalResult checkFunction(mlir::func::FuncOp function) {
  if (!function.isExternal() &&
      (!function.getBody().hasOneBlock() ||
       !llvm::isa<mlir::func::ReturnOp>(function.getBody().front().back())))
    return function.emitError("expected a body of one block that ends in func.return, got ")
           << function.getBody().getBlocks().size() << " blocks in @" << function.getName();
  for (bool isResult : {false, true}) {
    const unsigned count = isResult ? function.getNumResults() : function.getNumArguments();
    for (unsigned i = 0; i < count; ++i) {
      mlir::DictionaryAttr attributes =
          isResult ? function.getResultAttrDict(i) : function.getArgAttrDict(i);
      if (mlir::failed(checkNumbers(attributes, [&] {
            return function.emitError(isResult ? "result " : "argument ") << i << ": ";
          })))
        return mlir::failure();
    }
  }
  return mlir::success();
}

} // namespace

llvm::LogicalResult checkModule(mlir::ModuleOp module) {
  auto bad = module.walk([](mlir::Operation *op) {
    return mlir::failed(checkOp(op)) ? mlir::WalkResult::interrupt() : mlir::WalkResult::advance();
  });
  if (bad.wasInterrupted())
    return mlir::failure();
  for (auto function : module.getOps<mlir::func::FuncOp>())
    if (mlir::failed(checkFunction(function)))
      return mlir::failure();
  return mlir::success();
}

mlir::Attribute BoundaryValue::get(llvm::StringRef name) const {
  mlir::func::FuncOp owner = function;
  return isResult ? owner.getResultAttr(number, name) : owner.getArgAttr(number, name);
}

namespace {

mlir::InFlightDiagnostic expected(BoundaryValue value, llvm::StringRef kind, llvm::StringRef name) {
  mlir::Attribute found = value.get(name);
  auto error = value.function.emitError("expected ")
               << kind << " '" << name << "' on " << (value.isResult ? "result " : "argument ")
               << value.number << " of @" << value.function.getName() << ", got ";
  if (found)
    error << found;
  else
    error << "none";
  return error;
}

} // namespace

mlir::FailureOr<int64_t> BoundaryValue::integer(llvm::StringRef name) const {
  if (std::optional<int64_t> found = integerOf(get(name)))
    return *found;
  return expected(*this, "an integer", name);
}

mlir::FailureOr<llvm::StringRef> BoundaryValue::string(llvm::StringRef name) const {
  if (auto found = llvm::dyn_cast_or_null<mlir::StringAttr>(get(name)))
    return found.getValue();
  return expected(*this, "a text", name);
}

} // namespace alpa
