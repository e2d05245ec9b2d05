// alpa-split-stacks: state that is stacked for a scan over layers is renewed layer by layer.

#include "Normalize/Normalize.h"
#include "RowWise.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include <set>

namespace alpa {
#define GEN_PASS_DEF_SPLITSTACKS
#include "alpa/Passes.h.inc"
namespace {

/// Values that are stacked alike: what is made of one row of one of them is made of the same rows
/// of the others. Rows end at `bounds`, from 0 to the size of the stack.
struct Stack {
  std::set<int64_t> bounds;
  bool isRenewed = true;

  int64_t numRows() const { return static_cast<int64_t>(bounds.size()) - 1; }
};

/// Where a value is stacked.
struct Place {
  int stack, dim;

  bool operator==(const Place &other) const { return stack == other.stack && dim == other.dim; }
};

bool isConcatenationAlong(mlir::Operation *op, int dim) {
  if (!op || kindOf(op) != OpKind::Concatenate)
    return false;
  mlir::FailureOr<int64_t> along = concatenateDim(op);
  return mlir::succeeded(along) && *along == dim;
}

/// Finds what is stacked: state of which the step reads single rows at constant places, and what is
/// computed with it row by row, on to the state's next value.
class Stacks {
public:
  explicit Stacks(mlir::func::FuncOp function) : body(function.getBody().front()) {
    for (mlir::BlockArgument argument : body.getArguments())
      if (std::optional<int64_t> next =
              integerOf(function.getArgAttr(argument.getArgNumber(), kStateAttr)))
        if (std::optional<int> dim = rowsRead(argument)) {
          if (!places.contains(argument))
            spread(argument, *dim);
          checkRenewed(argument, *next);
        }
  }

  bool isEmpty() const {
    return llvm::none_of(stacks, [](const Stack &stack) { return stack.isRenewed; });
  }
  /// Null for a value that is not stacked.
  const Place *find(mlir::Value value) const {
    auto found = places.find(value);
    return found == places.end() || !stacks[found->second.stack].isRenewed ? nullptr
                                                                           : &found->second;
  }
  const Stack &operator[](int stack) const { return stacks[stack]; }
  void setPlace(mlir::Value value, Place place) { places[value] = place; }

private:
  /// The dim of which single rows are read, of the state or of what it is in other elements.
  static std::optional<int> rowsRead(mlir::Value state) {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(state.getType());
    if (!type || !type.hasStaticShape())
      return std::nullopt;
    for (mlir::Operation *user : state.getUsers()) {
      if (isConversion(user))
        if (std::optional<int> dim = rowsRead(user->getResult(0)))
          return dim;
      if (kindOf(user) == OpKind::Slice)
        for (int dim = 0; dim < type.getRank(); ++dim)
          if (type.getDimSize(dim) > 1 && slicesOnly(user, dim) &&
              tensorOf(user->getResult(0)).getDimSize(dim) == 1)
            return dim;
    }
    return std::nullopt;
  }

  void spread(mlir::Value seed, int dim) {
    const int stack = static_cast<int>(stacks.size());
    stacks.push_back({{0, tensorOf(seed).getDimSize(dim)}});
    llvm::SmallVector<std::pair<mlir::Value, int>> pending = {{seed, dim}};
    while (!pending.empty()) {
      auto [value, along] = pending.pop_back_val();
      if (!places.try_emplace(value, Place{stack, along}).second)
        continue;
      if (mlir::Operation *op = value.getDefiningOp())
        spreadToOperands(op, along, stack, pending);
      for (mlir::OpOperand &use : value.getUses())
        if (use.getOwner()->getBlock() == &body)
          spreadToResult(use, along, stack, pending);
    }
  }

  using Pending = llvm::SmallVector<std::pair<mlir::Value, int>>;
  void spreadToOperands(mlir::Operation *op, int dim, int stack, Pending &pending) {
    if (std::optional<RowDims> dims = rowDims(op, dim)) {
      for (auto [operand, along] : llvm::zip_equal(op->getOperands(), *dims))
        if (along != kWhole)
          pending.push_back({operand, along});
      return;
    }
    int64_t end = 0;
    if (isConcatenationAlong(op, dim))
      for (mlir::Value part : op->getOperands())
        stacks[stack].bounds.insert(end += tensorOf(part).getDimSize(dim));
  }

  void spreadToResult(mlir::OpOperand &use, int dim, int stack, Pending &pending) {
    mlir::Operation *user = use.getOwner();
    if (std::optional<int> along = resultRowDim(user, use.getOperandNumber(), dim)) {
      pending.push_back({user->getResult(0), *along});
    } else if (kindOf(user) == OpKind::Slice && slicesOnly(user, dim)) {
      SliceDims dims = *sliceDims(user);
      stacks[stack].bounds.insert({dims.starts[dim], dims.limits[dim]});
    }
  }

  /// Its next value must come in the same rows: otherwise it has to be put together in any case.
  void checkRenewed(mlir::Value state, int64_t next) {
    Place place = places.lookup(state);
    const bool isResult = next >= 0 && next < body.back().getNumOperands();
    auto found = isResult ? places.find(body.back().getOperand(next)) : places.end();
    stacks[place.stack].isRenewed &= found != places.end() && found->second == place;
  }

  mlir::Block &body;
  std::vector<Stack> stacks;
  llvm::DenseMap<mlir::Value, Place> places;
};

class StackSplitter {
public:
  explicit StackSplitter(mlir::func::FuncOp function, Stacks stacks)
      : function(function), body(function.getBody().front()), stacks(std::move(stacks)),
        builder(function.getContext()) {}

  void run() {
    llvm::SmallVector<mlir::Operation *> ops;
    for (mlir::Operation &op : body.without_terminator())
      ops.push_back(&op);
    for (mlir::Operation *op : ops) {
      builder.setInsertionPoint(op);
      const bool isStacked = op->getNumResults() == 1 && stacks.find(op->getResult(0));
      if (isStacked && rowDims(op, stacks.find(op->getResult(0))->dim))
        split(op);
      else if (op->getNumOperands() > 0 && stacks.find(op->getOperand(0)))
        takeRows(op);
    }
    eraseDead(function.getBody());
  }

private:
  using Rows = llvm::SmallVector<mlir::Value>;

  StablehloBuilder build(mlir::Location loc) { return StablehloBuilder(builder, loc); }

  /// Makes the rows of what the op returns from rows of its operands, and the whole of these.
  void split(mlir::Operation *op) {
    mlir::Value result = op->getResult(0);
    const Place place = *stacks.find(result);
    const RowDims dims = *rowDims(op, place.dim);
    const bool areEqual = llvm::all_of(dims, [](int dim) { return dim == kWhole; });
    llvm::SmallVector<Rows> operands;
    for (auto [operand, dim] : llvm::zip_equal(op->getOperands(), dims))
      operands.push_back(dim == kWhole ? Rows{operand} : rowsOf(operand, {place.stack, dim}));
    Rows made;
    llvm::DenseMap<int64_t, mlir::Value> bySize;
    int64_t begin = 0;
    for (int64_t end : llvm::drop_begin(stacks[place.stack].bounds)) {
      mlir::Value &row = bySize[end - begin];
      if (!row || !areEqual) {
        Rows parts;
        for (const Rows &rows : operands)
          parts.push_back(rows.size() == 1 ? rows.front() : rows[made.size()]);
        row = cloneRow(op, parts, withSize(tensorOf(result), place.dim, end - begin));
      }
      made.push_back(row);
      begin = end;
    }
    mlir::Value whole = build(op->getLoc()).concatenate(made, place.dim);
    replace(result, whole);
    known[whole] = std::move(made);
  }

  void replace(mlir::Value old, mlir::Value made) {
    old.replaceAllUsesWith(made);
    if (const Place *place = stacks.find(old))
      stacks.setPlace(made, *place);
  }

  mlir::Value cloneRow(mlir::Operation *op, mlir::ValueRange operands,
                       mlir::RankedTensorType type) {
    if (kindOf(op) == OpKind::Constant)
      return build(op->getLoc()).splat(type, splatElement(op->getResult(0)));
    mlir::IRMapping mapping;
    mapping.map(op->getOperands(), operands);
    mlir::Operation *made = builder.clone(*op, mapping);
    made->setOperands(operands); // where one value is read twice, along two dims
    made->getResult(0).setType(type);
    made->walk([](mlir::Operation *each) {
      each->removeDiscardableAttr(kOpIdAttr);
      each->removeDiscardableAttr(kShardingRuleAttr); // its factors have the old sizes
    });
    return made->getResult(0);
  }

  /// The rows of a value: as they were made, or put together, or cut out of it.
  Rows rowsOf(mlir::Value value, Place place) {
    const Place *own = stacks.find(value);
    const bool isOwn = own && *own == place;
    if (auto found = known.find(value); isOwn && found != known.end())
      return found->second;
    mlir::OpBuilder::InsertionGuard guard(builder);
    mlir::Operation *source = value.getDefiningOp();
    if (source)
      builder.setInsertionPointAfter(source);
    else
      builder.setInsertionPointToStart(&body);
    Rows rows = isOwn && isConcatenationAlong(source, place.dim)
                    ? partsAsRows(source, place)
                    : cut(value, place, 0, stacks[place.stack].bounds);
    if (isOwn)
      known[value] = rows;
    return rows;
  }

  Rows partsAsRows(mlir::Operation *concatenation, Place place) {
    const std::set<int64_t> &bounds = stacks[place.stack].bounds;
    Rows rows;
    int64_t begin = 0;
    for (mlir::Value part : concatenation->getOperands()) {
      const int64_t end = begin + tensorOf(part).getDimSize(place.dim);
      std::set<int64_t> within(bounds.lower_bound(begin), bounds.upper_bound(end));
      rows.append(cut(part, place, begin, within));
      begin = end;
    }
    return rows;
  }

  /// A value that begins at `begin` of the stack, from bound to bound.
  Rows cut(mlir::Value value, Place place, int64_t begin, const std::set<int64_t> &bounds) {
    if (bounds.size() == 2)
      return {value};
    Rows rows;
    llvm::SmallVector<int64_t> starts(tensorOf(value).getRank(), 0);
    llvm::SmallVector<int64_t> limits(tensorOf(value).getShape());
    int64_t last = *bounds.begin();
    for (int64_t bound : llvm::drop_begin(bounds)) {
      starts[place.dim] = last - begin;
      limits[place.dim] = bound - begin;
      rows.push_back(build(value.getLoc()).slice(value, starts, limits));
      last = bound;
    }
    return rows;
  }

  /// For what reads rows one by one, or all of them into one.
  void takeRows(mlir::Operation *op) {
    mlir::Value value = op->getOperand(0);
    const Place place = *stacks.find(value);
    if (kindOf(op) == OpKind::Slice && slicesOnly(op, place.dim))
      replace(op->getResult(0), slicedRows(op, place));
    else if (mlir::Value sum = reducedRows(op, place))
      replace(op->getResult(0), sum);
  }

  mlir::Value slicedRows(mlir::Operation *slice, Place place) {
    SliceDims dims = *sliceDims(slice);
    const std::set<int64_t> &bounds = stacks[place.stack].bounds;
    auto first = std::distance(bounds.begin(), bounds.find(dims.starts[place.dim]));
    auto end = std::distance(bounds.begin(), bounds.find(dims.limits[place.dim]));
    Rows rows = rowsOf(slice->getOperand(0), place);
    llvm::ArrayRef<mlir::Value> taken = llvm::ArrayRef(rows).slice(first, end - first);
    return taken.size() == 1 ? taken.front() : build(slice->getLoc()).concatenate(taken, place.dim);
  }

  /// Of a reduction over the rows, too: each by itself, and then all. Null where that is none.
  mlir::Value reducedRows(mlir::Operation *op, Place place) {
    const ReductionKind kind = reductionKind(op);
    if (kindOf(op) != OpKind::Reduce || kind == ReductionKind::None || op->getNumOperands() != 2)
      return {};
    mlir::RankedTensorType type = tensorOf(op->getResult(0));
    mlir::Attribute identity = identityElement(kind, type.getElementType());
    mlir::FailureOr<Dims> reduced = reducedDims(op);
    if (!identity || mlir::failed(reduced) || !llvm::is_contained(*reduced, place.dim))
      return {};
    StablehloBuilder make = build(op->getLoc());
    mlir::Value none = make.splat(type.clone(llvm::ArrayRef<int64_t>{}), identity);
    mlir::Value all;
    for (mlir::Value row : rowsOf(op->getOperand(0), place)) {
      mlir::Value one = cloneRow(op, {row, all ? none : op->getOperand(1)}, type);
      all = all ? make.combine(kind, all, one) : one;
    }
    return all;
  }

  mlir::func::FuncOp function;
  mlir::Block &body;
  Stacks stacks;
  mlir::OpBuilder builder;
  llvm::DenseMap<mlir::Value, Rows> known;
};

struct SplitStacks : impl::SplitStacksBase<SplitStacks> {
  using SplitStacksBase::SplitStacksBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    auto main = getOperation().lookupSymbol<mlir::func::FuncOp>("main");
    if (!main || main.isExternal())
      return;
    Stacks stacks(main);
    if (!stacks.isEmpty())
      StackSplitter(main, std::move(stacks)).run();
  }
};

} // namespace
} // namespace alpa
