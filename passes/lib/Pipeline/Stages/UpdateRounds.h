// When each stage can do which part of its update, where updates of stages need one another.
#pragma once

#include "mlir/IR/Block.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace alpa {

/// Clipping by global norm adds up partial norms of all stages before any of them can go on. Ops
/// therefore have rounds: an op comes in the round of what it reads, or one later where that is
/// made by another stage.
class UpdateRounds {
public:
  /// What one stage does in one round.
  struct Turn {
    int round, stage;
  };

  /// `stageOf` is none for ops that are cloned into whoever reads them.
  UpdateRounds(mlir::Block &update,
               llvm::function_ref<std::optional<int>(mlir::Operation *)> stageOf);

  /// In the order in which they can run: by round, then stage. At least one.
  llvm::ArrayRef<Turn> turns() const { return allTurns; }
  std::optional<int> turnOf(mlir::Operation *op) const;

private:
  llvm::SmallVector<Turn> allTurns;
  llvm::DenseMap<mlir::Operation *, int> numbers;
};

} // namespace alpa
