// Cuts the body of a function into functions that it then calls in order: how stages, and the
// phases of a stage, are made.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include <functional>
#include <string>
#include <vector>

namespace alpa {

/// A function to be made: its name, what is written on it, and what on each of its ops.
struct CutPart {
  std::string name;
  mlir::DictionaryAttr attributes, opAttributes;
};

/// A value that its part returns under this name, whether or not another part reads it.
struct CutResult {
  mlir::Value value;
  std::string name;
  mlir::DictionaryAttr attributes = {};
  /// Whether other parts read the value under this name too, or under one of its own.
  bool isReadByParts = true;
  /// What parts read is another value of that name, of which this is a share: no part can make it
  /// again.
  bool isShare = false;
};

/// Where an op goes.
struct Placement {
  enum Kind {
    InPart, ///< into `part`
    Free,   ///< into every part that reads it; where only a result needs it, into `part`
    Stays   ///< it is not cut out; it may read values of parts, no part may read its own
  };
  Kind kind = Free;
  int part = 0;
};

class FunctionCutter {
public:
  /// `parts` in the order in which they run. Values that pass from part to part are named after
  /// the result they are, after the argument (`alpa.value`), or as `nameOf` names the 0th, 1st, ...
  FunctionCutter(mlir::func::FuncOp function, std::vector<CutPart> parts,
                 std::function<std::string(int)> nameOf);

  /// Every op of the function's block is placed; nested ops go with the op around them.
  void place(mlir::Operation *op, Placement placement) { placements[op] = placement; }
  void addResult(CutResult result) {
    if (result.isShare)
      shares.insert(result.value);
    results.push_back(std::move(result));
  }
  /// More attributes of the arguments and results that stand for a value.
  void describeValues(std::function<void(mlir::Value, mlir::NamedAttrList &)> describe) {
    describeValue = std::move(describe);
  }

  /// Values that a part has made again, whatever that costs, rather than read them of another.
  void makeAgainWhere(std::function<bool(mlir::Value, int reader)> predicate) {
    isMadeAgain = std::move(predicate);
  }

  /// The other parts, and the function, are only declared: what one part is alone costs no more
  /// than it has ops, but for a look at all of them.
  void makeOnly(std::function<bool(int part)> predicate) { isMade = std::move(predicate); }

  /// Leaves of the function calls of the parts that have something to do, ops that stay, and its
  /// results. Arguments and results of the parts have `alpa.value`, arguments keep the attributes
  /// they had in the function.
  ///
  /// A part reads what an earlier one made, unless it can have it cheaper: what only spreads or
  /// widens a smaller value (a broadcast, a conversion to wider elements) is made again, and so is
  /// what a few cheap maps of elements make of values that the part reads anyway.
  ///
  /// Fails with an error that names the op if one reads a value of a later part.
  llvm::LogicalResult run();

private:
  using Values = llvm::SmallVector<mlir::Value>;
  struct Output {
    mlir::Value value;
    std::string name;
    mlir::DictionaryAttr attributes;
  };

  int partOf(mlir::Value value) const;
  Placement::Kind kindOfPlacement(mlir::Operation *op) const;

  void findState(); ///< whose next value the function returns
  void collectReadersOutside();
  llvm::LogicalResult fill(int part);
  bool isCheapFrom(mlir::Operation *op, int part, const llvm::SetVector<mlir::Value> &inputs,
                   int &budget) const;
  void makeAgainFromInputs(int part);
  void orderInputs(int part);
  void nameValues();
  void makeFunction(int part);
  void makeBody(int part);
  void copyOps(int part, mlir::OpBuilder &builder, mlir::IRMapping &mapping);
  void callParts();

  mlir::func::FuncOp function;
  mlir::Block &body;
  std::vector<CutPart> parts;
  std::function<std::string(int)> nameOf;
  std::vector<CutResult> results;
  llvm::DenseSet<mlir::Value> shares;
  std::function<void(mlir::Value, mlir::NamedAttrList &)> describeValue;
  std::function<bool(mlir::Value, int)> isMadeAgain;
  std::function<bool(int)> isMade;
  llvm::DenseMap<mlir::Operation *, Placement> placements;
  std::vector<std::pair<mlir::Value, mlir::Value>> stateAndNext; ///< in the order of results

  // By part:
  std::vector<llvm::DenseSet<mlir::Operation *>> opsOf; ///< what is made again included
  std::vector<llvm::SetVector<mlir::Value>> inputsOf;
  std::vector<llvm::DenseSet<mlir::Value>> demandedOf; ///< values that others read
  std::vector<std::vector<Output>> outputsOf;
  std::vector<mlir::func::FuncOp> functions; ///< null for a part that is empty

  llvm::DenseMap<mlir::Value, std::string> names;
};

} // namespace alpa
