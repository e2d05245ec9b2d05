// Runs updates as soon as they can; see the header.

#include "alpa/Analysis/RunOrder.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace alpa {
namespace {

class Orderer {
public:
  explicit Orderer(mlir::FunctionOpInterface func)
      : func(func), block(func.getFunctionBody().front()) {}

  llvm::SmallVector<mlir::Operation *> run() {
    findNewState();
    findUpdates();
    // What updates make of state alone waits for nobody, and whatever waits for it is to come
    // early.
    for (mlir::Operation &op : block)
      if (updates.contains(&op) && missing.lookup(&op) == 0 && !isPlaced.contains(&op))
        place(&op);
    for (mlir::Operation &op : block)
      if (!isPlaced.contains(&op))
        place(&op);
    return std::move(order);
  }

private:
  /// Readers come after what they read, so one sweep from the end knows theirs.
  void findUpdates() {
    for (mlir::Operation &op : llvm::reverse(block)) {
      const bool isMap = isElementwise(&op) || kindOf(&op) == OpKind::BroadcastInDim ||
                         kindOf(&op) == OpKind::Reshape;
      if (!isMap || op.use_empty() || phaseOf(&op))
        continue;
      if (llvm::all_of(op.getUses(), [this](mlir::OpOperand &use) { return isForUpdate(use); }))
        updates.insert(&op);
    }
    for (mlir::Operation *op : updates)
      for (mlir::Value operand : op->getOperands())
        if (mlir::Operation *producer = operand.getDefiningOp();
            producer && !isConstantLike(producer))
          ++missing[op];
  }

  /// Results that take the place of an argument.
  void findNewState() {
    for (unsigned argument = 0; argument < func.getNumArguments(); ++argument) {
      auto result = func.getArgAttrOfType<mlir::IntegerAttr>(argument, kStateAttr);
      if (result && isDonated(func, argument))
        newState.insert(result.getInt());
    }
  }

  bool isForUpdate(mlir::OpOperand &use) const {
    return use.getOwner() == &block.back() ? newState.contains(use.getOperandNumber())
                                           : updates.contains(use.getOwner());
  }

  /// Places `op`, and after it every update that waited for it alone.
  void place(mlir::Operation *op) {
    llvm::SmallVector<mlir::Operation *> ready{op};
    while (!ready.empty()) {
      mlir::Operation *next = ready.pop_back_val();
      order.push_back(next);
      isPlaced.insert(next);
      if (isConstantLike(next))
        continue;
      for (mlir::OpOperand &use : next->getUses())
        if (updates.contains(use.getOwner()) && --missing[use.getOwner()] == 0)
          ready.push_back(use.getOwner());
    }
  }

  mlir::FunctionOpInterface func;
  mlir::Block &block;
  llvm::DenseSet<int64_t> newState;
  llvm::DenseSet<mlir::Operation *> updates;
  llvm::DenseMap<mlir::Operation *, int> missing; ///< operands of an update that are not made yet
  llvm::DenseSet<mlir::Operation *> isPlaced;
  llvm::SmallVector<mlir::Operation *> order;
};

} // namespace

bool isDonated(mlir::FunctionOpInterface func, unsigned argument) {
  return func.getArgAttr(argument, "tf.aliasing_output") ||
         func.getArgAttr(argument, "jax.buffer_donor");
}

llvm::SmallVector<mlir::Operation *> runOrder(mlir::FunctionOpInterface func) {
  return Orderer(func).run();
}

} // namespace alpa
