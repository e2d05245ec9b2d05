// alpa-separate-rows: state whose rows are read and renewed apart becomes arguments and results of
// its own, so that each row can be where it is used.

#include "Normalize/Normalize.h"
#include "RowWise.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <map>
#include <set>

namespace alpa {
#define GEN_PASS_DEF_SEPARATEROWS
#include "alpa/Passes.h.inc"
namespace {

/// Attributes of arguments that name a result by its number.
constexpr llvm::StringLiteral kOfResults[] = {kStateAttr, kGradientAttr, "tf.aliasing_output"};

/// State that comes apart: rows from one bound to the next, along a dim.
struct RowState {
  int64_t result; ///< its next value
  int dim;
  std::vector<int64_t> bounds; ///< ascending, from 0 to the size
};

/// An argument or result of the new function, of number `old` of the old one.
struct Part {
  unsigned old;
  const RowState *stack = nullptr; ///< null: it is the same
  size_t row = 0;

  int64_t begin() const { return stack->bounds[row]; }
  int64_t end() const { return stack->bounds[row + 1]; }
};

class RowSeparator {
public:
  explicit RowSeparator(mlir::func::FuncOp function)
      : function(function), body(function.getBody().front()), builder(function.getContext()) {
    for (mlir::BlockArgument argument : body.getArguments())
      if (std::optional<RowState> stack = stackOf(argument))
        if (byResult.try_emplace(stack->result, argument.getArgNumber()).second)
          byArgument.emplace(argument.getArgNumber(), *stack);
  }

  void run() {
    if (byArgument.empty())
      return;
    for (unsigned i = 0; i < body.getNumArguments(); ++i)
      addParts(i, stackAt(i), arguments);
    for (unsigned i = 0; i < body.back().getNumOperands(); ++i) {
      auto argument = byResult.find(i);
      addParts(i, argument == byResult.end() ? nullptr : stackAt(argument->second), results);
    }
    setArguments();
    setResults();
    function.setFunctionType(
        builder.getFunctionType(body.getArgumentTypes(), body.back().getOperandTypes()));
    eraseDead(function.getBody());
  }

private:
  /// None where something reads or makes more than rows.
  std::optional<RowState> stackOf(mlir::BlockArgument argument) {
    std::optional<int64_t> next =
        integerOf(function.getArgAttr(argument.getArgNumber(), kStateAttr));
    if (!next || *next < 0 || *next >= body.back().getNumOperands())
      return std::nullopt;
    mlir::Value renewed = body.back().getOperand(*next);
    mlir::Operation *whole = renewed.getDefiningOp();
    if (renewed.getType() != argument.getType() || !whole || kindOf(whole) != OpKind::Concatenate)
      return std::nullopt;
    mlir::FailureOr<int64_t> dim = concatenateDim(whole);
    if (mlir::failed(dim))
      return std::nullopt;
    RowState stack{*next, static_cast<int>(*dim), {0}};
    for (mlir::Value row : whole->getOperands()) {
      const int64_t size = tensorOf(row).getDimSize(*dim);
      if (size == 0)
        return std::nullopt;
      stack.bounds.push_back(stack.bounds.back() + size);
    }
    const bool isReadInRows = llvm::all_of(argument.getUsers(), [&](mlir::Operation *user) {
      return user->getBlock() == &body && kindOf(user) == OpKind::Slice &&
             slicesOnly(user, stack.dim) && isBetweenBounds(user, stack);
    });
    return isReadInRows ? std::optional(stack) : std::nullopt;
  }

  static bool isBetweenBounds(mlir::Operation *slice, const RowState &stack) {
    SliceDims dims = *sliceDims(slice);
    return llvm::is_contained(stack.bounds, dims.starts[stack.dim]) &&
           llvm::is_contained(stack.bounds, dims.limits[stack.dim]);
  }

  const RowState *stackAt(unsigned argument) const {
    auto found = byArgument.find(argument);
    return found == byArgument.end() ? nullptr : &found->second;
  }

  static void addParts(unsigned old, const RowState *stack, std::vector<Part> &parts) {
    if (!stack)
      return parts.push_back({old});
    for (size_t row = 0; row + 1 < stack->bounds.size(); ++row)
      parts.push_back({old, stack, row});
  }

  /// The number that result `old` has now, of the same rows as the argument.
  std::optional<int64_t> newResult(int64_t old, const Part &argument) const {
    for (auto [number, part] : llvm::enumerate(results))
      if (part.old == old && part.row == argument.row && !part.stack == !argument.stack)
        return number;
    return std::nullopt;
  }

  void setArguments() {
    const unsigned numOld = body.getNumArguments();
    llvm::SmallVector<mlir::Attribute> attributes;
    for (const Part &part : arguments) {
      mlir::BlockArgument old = body.getArgument(part.old);
      body.addArgument(part.stack ? rowType(part) : old.getType(), old.getLoc());
      attributes.push_back(argumentAttributes(part));
    }
    for (unsigned i = 0; i < numOld; ++i)
      replaceUses(i, numOld);
    body.eraseArguments(0, numOld);
    function.setArgAttrsAttr(builder.getArrayAttr(attributes));
  }

  mlir::Type rowType(const Part &part) {
    return withSize(tensorOf(body.getArgument(part.old)), part.stack->dim,
                    part.end() - part.begin());
  }

  mlir::DictionaryAttr argumentAttributes(const Part &part) {
    mlir::NamedAttrList attributes(function.getArgAttrDict(part.old));
    for (llvm::StringRef name : kOfResults)
      if (auto old = llvm::dyn_cast_or_null<mlir::IntegerAttr>(attributes.get(name))) {
        std::optional<int64_t> number = newResult(old.getInt(), part);
        if (number)
          attributes.set(name, builder.getIntegerAttr(old.getType(), *number));
        else
          attributes.erase(name);
      }
    if (part.stack)
      attributes.set(kRowsAttr, rowsOf(part));
    return attributes.getDictionary(builder.getContext());
  }

  mlir::Attribute rowsOf(const Part &part) {
    return builder.getDenseI64ArrayAttr(
        {static_cast<int64_t>(part.old), part.stack->dim, part.begin(), part.end()});
  }

  /// New arguments come behind the `numOld` old ones.
  void replaceUses(unsigned old, unsigned numOld) {
    mlir::BlockArgument argument = body.getArgument(old);
    llvm::SmallVector<mlir::Value> made;
    for (auto [number, part] : llvm::enumerate(arguments))
      if (part.old == old)
        made.push_back(body.getArgument(numOld + number));
    const RowState *stack = stackAt(old);
    if (!stack)
      return argument.replaceAllUsesWith(made.front());
    for (mlir::Operation *slice : llvm::make_early_inc_range(argument.getUsers())) {
      SliceDims dims = *sliceDims(slice);
      auto at = [&](int64_t bound) {
        return llvm::find(stack->bounds, bound) - stack->bounds.begin();
      };
      const auto first = at(dims.starts[stack->dim]), end = at(dims.limits[stack->dim]);
      llvm::ArrayRef<mlir::Value> rows = llvm::ArrayRef(made).slice(first, end - first);
      builder.setInsertionPoint(slice);
      slice->replaceAllUsesWith(mlir::ValueRange(
          rows.size() == 1
              ? rows.front()
              : StablehloBuilder(builder, slice->getLoc()).concatenate(rows, stack->dim)));
      slice->erase();
    }
  }

  void setResults() {
    llvm::SmallVector<mlir::Value> returned;
    llvm::SmallVector<mlir::Attribute> attributes;
    for (const Part &part : results) {
      mlir::Value old = body.back().getOperand(part.old);
      mlir::NamedAttrList own(function.getResultAttrDict(part.old));
      if (part.stack)
        own.set(kRowsAttr, rowsOf(part));
      returned.push_back(part.stack ? old.getDefiningOp()->getOperand(part.row) : old);
      attributes.push_back(own.getDictionary(builder.getContext()));
    }
    body.back().setOperands(returned);
    function.setResAttrsAttr(builder.getArrayAttr(attributes));
  }

  mlir::func::FuncOp function;
  mlir::Block &body;
  mlir::OpBuilder builder;
  std::map<unsigned, RowState> byArgument;
  std::map<int64_t, unsigned> byResult; ///< the argument whose next value a result is
  std::vector<Part> arguments, results;
};

struct SeparateRows : impl::SeparateRowsBase<SeparateRows> {
  using SeparateRowsBase::SeparateRowsBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    if (auto main = getOperation().lookupSymbol<mlir::func::FuncOp>("main"))
      if (!main.isExternal())
        RowSeparator(main).run();
  }
};

} // namespace
} // namespace alpa
