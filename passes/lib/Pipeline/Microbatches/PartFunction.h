// A function that is being made from a part of @main.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace alpa {

using Values = llvm::SmallVector<mlir::Value>;

/// A function of the module, and which of the values on offer it takes.
struct PartFunction {
  mlir::func::FuncOp function;
  llvm::SmallVector<unsigned> kept; ///< of the arguments added, those that are read

  /// Calls it where the builder is, with those of `all` that it takes.
  Values call(mlir::OpBuilder &builder, const Values &all) const;
};

/// Makes one: add arguments, add ops to `block`, finish.
class PartFunctionBuilder {
public:
  PartFunctionBuilder(mlir::ModuleOp module, llvm::StringRef name, mlir::Location loc);

  /// Adds an argument that stands for a value of the caller.
  mlir::BlockArgument addArgument(mlir::Type type, mlir::Location loc,
                                  mlir::DictionaryAttr attributes);

  /// Ends the function and drops what it does not need, unread arguments too.
  PartFunction finish(const Values &results, llvm::ArrayRef<mlir::DictionaryAttr> resultAttributes);

  mlir::Block *block;

private:
  mlir::func::FuncOp function;
  llvm::SmallVector<mlir::DictionaryAttr> argumentAttributes;
};

} // namespace alpa
