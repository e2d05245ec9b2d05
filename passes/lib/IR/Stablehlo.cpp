// The names of StableHLO's ops and what they are. The other files named Stablehlo*.cpp know its
// attributes (StablehloAttributes), what ops cost (StablehloFlops), how loops count
// (StablehloLoops), what integers constants make (StablehloConstants) and which part of a tensor
// they index (StablehloWindows). See the header.

#include "alpa/IR/Stablehlo.h"
#include "OpTable.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"

namespace alpa {
namespace {

void addElementwise(llvm::StringMap<OpEntry> &table) {
  auto add = [&](llvm::StringRef dialect, OpKind kind, double flopsPerElement,
                 std::initializer_list<const char *> names) {
    for (const char *name : names)
      table[(dialect + "." + name).str()] = {kind, flopsPerElement};
  };
  const OpKind elementwise = OpKind::Elementwise;
  add("stablehlo", elementwise, 0, {"convert", "reduce_precision", "real", "imag", "complex"});
  add("stablehlo", elementwise, 1,
      {"abs",
       "add",
       "and",
       "ceil",
       "clamp",
       "compare",
       "count_leading_zeros",
       "floor",
       "is_finite",
       "maximum",
       "minimum",
       "multiply",
       "negate",
       "not",
       "or",
       "popcnt",
       "round_nearest_afz",
       "round_nearest_even",
       "select",
       "shift_left",
       "shift_right_arithmetic",
       "shift_right_logical",
       "sign",
       "subtract",
       "xor",
       "uniform_quantize",
       "uniform_dequantize",
       "map"});
  add("stablehlo", elementwise, 4, {"divide", "remainder", "sqrt", "rsqrt", "cbrt"});
  add("stablehlo", elementwise, 10,
      {"atan2", "cosine", "exponential", "exponential_minus_one", "log", "log_plus_one", "logistic",
       "power", "sine", "tan", "tanh"});
  add("chlo", elementwise, 1,
      {"conj", "is_inf", "is_neg_inf", "is_pos_inf", "next_after", "square"});
  add("chlo", elementwise, 20,
      {"acos", "acosh", "asin", "asinh", "atan", "atanh", "bessel_i1e", "cosh", "digamma", "erf",
       "erf_inv", "erfc", "lgamma", "polygamma", "sinh", "tan", "zeta"});
}

llvm::StringMap<OpEntry> makeOpTable() {
  llvm::StringMap<OpEntry> table;
  addElementwise(table);
  auto name = [&](llvm::StringRef name, OpKind kind) { table[name] = {kind, 0}; };
  name("stablehlo.constant", OpKind::Constant);
  name("stablehlo.iota", OpKind::Iota);
  name("stablehlo.broadcast_in_dim", OpKind::BroadcastInDim);
  name("stablehlo.reshape", OpKind::Reshape);
  name("stablehlo.transpose", OpKind::Transpose);
  name("stablehlo.slice", OpKind::Slice);
  name("stablehlo.dynamic_slice", OpKind::DynamicSlice);
  name("stablehlo.dynamic_update_slice", OpKind::DynamicUpdateSlice);
  name("stablehlo.concatenate", OpKind::Concatenate);
  name("stablehlo.pad", OpKind::Pad);
  name("stablehlo.reverse", OpKind::Reverse);
  name("stablehlo.gather", OpKind::Gather);
  name("stablehlo.scatter", OpKind::Scatter);
  name("stablehlo.dot_general", OpKind::DotGeneral);
  name("chlo.ragged_dot", OpKind::RaggedDot);
  name("stablehlo.convolution", OpKind::Convolution);
  name("stablehlo.reduce", OpKind::Reduce);
  name("stablehlo.reduce_window", OpKind::ReduceWindow);
  name("stablehlo.select_and_scatter", OpKind::SelectAndScatter);
  name("stablehlo.sort", OpKind::Sort);
  name("chlo.top_k", OpKind::TopK);
  name("stablehlo.fft", OpKind::Fft);
  name("stablehlo.cholesky", OpKind::Cholesky);
  name("stablehlo.triangular_solve", OpKind::TriangularSolve);
  name("stablehlo.rng_bit_generator", OpKind::RngBitGenerator);
  name("stablehlo.bitcast_convert", OpKind::BitcastConvert);
  name("stablehlo.while", OpKind::While);
  name("stablehlo.case", OpKind::Branch);
  name("stablehlo.if", OpKind::Branch);
  name("stablehlo.optimization_barrier", OpKind::OptimizationBarrier);
  name("sdy.sharding_constraint", OpKind::ShardingConstraint);
  name("func.call", OpKind::Call);
  name("stablehlo.composite", OpKind::Composite);
  name("stablehlo.custom_call", OpKind::CustomCall);
  for (const char *collective : {"all_gather", "all_reduce", "all_to_all", "collective_broadcast",
                                 "collective_permute", "reduce_scatter"})
    name(("stablehlo." + llvm::Twine(collective)).str(), OpKind::Collective);
  for (const char *effect : {"stablehlo.after_all", "stablehlo.create_token", "stablehlo.infeed",
                             "stablehlo.outfeed", "stablehlo.recv", "stablehlo.rng",
                             "stablehlo.send", "stablehlo.return", "func.return", "sdy.return"})
    name(effect, OpKind::OtherEffect);
  return table;
}

/// One block that ends by returning `count` values.
bool returns(mlir::Region &region, size_t count) {
  return region.hasOneBlock() && !region.front().empty() &&
         region.front().back().getNumOperands() == count;
}

/// A longer chain of maps of a splat constant is an op like any other: who asks for each op of the
/// program is not to walk through the program each time.
constexpr int kMaxMapsOfConstant = 32;

bool mapsSplat(mlir::Operation *op) {
  const OpKind kind = kindOf(op);
  return (kind == OpKind::BroadcastInDim || kind == OpKind::Reshape || kind == OpKind::Transpose ||
          op->getName().getStringRef() == "stablehlo.convert") &&
         op->getNumOperands() == 1;
}

bool isSplatConstant(mlir::Operation *op) {
  for (int i = 0; i < kMaxMapsOfConstant && op && op->getNumResults() == 1; ++i) {
    if (kindOf(op) == OpKind::Constant)
      return op->getNumOperands() == 0 &&
             llvm::isa_and_nonnull<mlir::SplatElementsAttr>(op->getAttr("value"));
    op = mapsSplat(op) ? op->getOperand(0).getDefiningOp() : nullptr;
  }
  return false;
}

} // namespace

const OpEntry &entryOf(mlir::Operation *op) {
  static const llvm::StringMap<OpEntry> table = makeOpTable();
  static const OpEntry unknown = {OpKind::Unknown, 0};
  auto entry = table.find(op->getName().getStringRef());
  return entry == table.end() ? unknown : entry->second;
}

OpKind kindOf(mlir::Operation *op) { return entryOf(op).kind; }
bool isProduct(mlir::Operation *op) {
  OpKind kind = kindOf(op);
  return kind == OpKind::DotGeneral || kind == OpKind::RaggedDot || kind == OpKind::Convolution;
}
bool isElementwise(mlir::Operation *op) { return kindOf(op) == OpKind::Elementwise; }
bool isWhile(mlir::Operation *op) {
  if (kindOf(op) != OpKind::While || op->getNumRegions() != 2)
    return false;
  size_t carried = op->getNumOperands();
  return op->getNumResults() == carried && returns(whileCondition(op), 1) &&
         whileCondition(op).getNumArguments() == carried && returns(whileBody(op), carried) &&
         whileBody(op).getNumArguments() == carried;
}
bool isBranch(mlir::Operation *op) {
  return kindOf(op) == OpKind::Branch && op->getNumOperands() == 1 &&
         llvm::all_of(op->getRegions(), [op](mlir::Region &region) {
           return returns(region, op->getNumResults()) && region.getNumArguments() == 0;
         });
}
mlir::Region &whileCondition(mlir::Operation *op) { return op->getRegion(0); }
mlir::Region &whileBody(mlir::Operation *op) { return op->getRegion(1); }

bool isConstantLike(mlir::Operation *op) {
  OpKind kind = kindOf(op);
  // What is not well formed is nothing that anybody may copy.
  if (op->getNumResults() != 1)
    return false;
  return ((kind == OpKind::Constant || kind == OpKind::Iota) && op->getNumOperands() == 0) ||
         isSplatConstant(op);
}

bool updatesConstant(mlir::Operation *op) {
  const OpKind kind = kindOf(op);
  if ((kind != OpKind::Scatter && kind != OpKind::DynamicUpdateSlice) || op->getNumOperands() == 0)
    return false;
  mlir::Operation *updated = op->getOperand(0).getDefiningOp();
  return updated && isConstantLike(updated);
}

bool isRemovable(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Collective:
  case OpKind::OtherEffect:
  case OpKind::Call:
    return false;
  case OpKind::CustomCall: {
    auto hasSideEffect = op->getAttrOfType<mlir::BoolAttr>("has_side_effect");
    return !hasSideEffect || !hasSideEffect.getValue();
  }
  case OpKind::Unknown: {
    llvm::StringRef dialect = op->getName().getDialectNamespace();
    if (dialect != "stablehlo" && dialect != "chlo")
      return op->isRegistered() && mlir::isPure(op);
    break;
  }
  default:
    break;
  }
  // Terminators have no results; inside a region they are not effects.
  for (mlir::Region &region : op->getRegions())
    for (mlir::Block &block : region)
      for (mlir::Operation &inner : block)
        if (&inner != &block.back() && !isRemovable(&inner))
          return false;
  return true;
}

bool isMergeable(mlir::Operation *op) {
  return kindOf(op) != OpKind::OptimizationBarrier && isRemovable(op);
}

bool isReduction(mlir::Operation *op) {
  return kindOf(op) == OpKind::Reduce || kindOf(op) == OpKind::ReduceWindow;
}

bool isAddition(mlir::Operation *op) {
  return op->getName().getStringRef() == "stablehlo.add" && op->getNumOperands() == 2;
}

bool isSubtraction(mlir::Operation *op) {
  return op->getName().getStringRef() == "stablehlo.subtract" && op->getNumOperands() == 2;
}

bool isConversion(mlir::Operation *op) {
  return op->getName().getStringRef() == "stablehlo.convert" && op->getNumOperands() == 1 &&
         op->getNumResults() == 1;
}

bool isClamp(mlir::Operation *op) {
  return op->getName().getStringRef() == "stablehlo.clamp" && op->getNumOperands() == 3;
}

Linearity linearityOf(mlir::Operation *op) {
  const bool isOfFloats = op->getNumOperands() > 0 && op->getNumResults() == 1 &&
                          isFloating(op->getOperand(0).getType()) &&
                          isFloating(op->getResult(0).getType());
  const Linearity ofFloats = isOfFloats ? Linearity::Together : Linearity::None;
  return llvm::StringSwitch<Linearity>(op->getName().getStringRef())
      .Cases({"stablehlo.add", "stablehlo.subtract", "stablehlo.negate"}, Linearity::Together)
      .Cases({"stablehlo.real", "stablehlo.imag", "stablehlo.complex"}, Linearity::Together)
      .Case("stablehlo.convert", ofFloats) // rounding to integers is not linear
      .Case("stablehlo.multiply", Linearity::AnyOne)
      .Case("stablehlo.divide", isOfFloats ? Linearity::First : Linearity::None)
      .Default(Linearity::None);
}

bool isSelect(mlir::Operation *op) {
  return op->getName().getStringRef() == "stablehlo.select" && op->getNumOperands() == 3;
}

bool isAssigningScatter(mlir::Operation *op) {
  if (kindOf(op) != OpKind::Scatter || op->getNumResults() != 1 || op->getNumRegions() != 1 ||
      !returns(op->getRegion(0), 1) || op->getRegion(0).getNumArguments() != 2)
    return false;
  mlir::Block &body = op->getRegion(0).front();
  return body.back().getOperand(0) == body.getArgument(1);
}

ReductionKind elementwiseKind(mlir::Operation *op) {
  return llvm::StringSwitch<ReductionKind>(op->getName().getStringRef())
      .Case("stablehlo.add", ReductionKind::Add)
      .Case("stablehlo.multiply", ReductionKind::Mul)
      .Case("stablehlo.minimum", ReductionKind::Min)
      .Case("stablehlo.maximum", ReductionKind::Max)
      .Case("stablehlo.and", ReductionKind::And)
      .Case("stablehlo.or", ReductionKind::Or)
      .Default(ReductionKind::None);
}

ReductionKind reductionKind(mlir::Operation *op) {
  OpKind kind = kindOf(op);
  bool combines = isReduction(op) || kind == OpKind::Scatter || kind == OpKind::Collective ||
                  kind == OpKind::SelectAndScatter;
  if (!combines || op->getNumRegions() == 0 || op->getNumResults() != 1)
    return ReductionKind::None;
  mlir::Region &region = op->getRegion(op->getNumRegions() - 1);
  if (!region.hasOneBlock() || region.getNumArguments() != 2)
    return ReductionKind::None;
  mlir::Block &body = region.front();
  if (body.getOperations().size() != 2 || body.back().getNumOperands() != 1)
    return ReductionKind::None;
  mlir::Operation &combine = body.front();
  mlir::Value a = body.getArgument(0), b = body.getArgument(1);
  if (combine.getNumOperands() != 2 || body.back().getOperand(0).getDefiningOp() != &combine ||
      !((combine.getOperand(0) == a && combine.getOperand(1) == b) ||
        (combine.getOperand(0) == b && combine.getOperand(1) == a)))
    return ReductionKind::None;
  return elementwiseKind(&combine);
}

} // namespace alpa
