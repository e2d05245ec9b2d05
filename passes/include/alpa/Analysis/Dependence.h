// Which values depend on given arguments, through loops and branches.
#pragma once

#include "alpa/Analysis/OpGraph.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {

/// The values that data flows to from `seeds`, the seeds included. What a loop carries depends on
/// what decides whether it goes on, what a branch returns on what chooses it.
/// The ops `stops` make nothing of what they read.
llvm::DenseSet<mlir::Value> dependents(const OpGraph &graph, llvm::ArrayRef<mlir::Value> seeds,
                                       const llvm::SetVector<mlir::Operation *> &stops = {});

/// Those in a block, and in the loops and branches in it.
llvm::DenseSet<mlir::Value> dependentsIn(mlir::Block &block, llvm::ArrayRef<mlir::Value> seeds);

} // namespace alpa
