// Makes the few StableHLO ops that our passes need, at the place of the builder, in a form that
// needs no registered dialect.
#pragma once

#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace alpa {

/// The type of a value that is a ranked tensor.
mlir::RankedTensorType tensorOf(mlir::Value value);

/// The type with another size of one dim.
mlir::RankedTensorType withSize(mlir::RankedTensorType type, int dim, int64_t size);

class StablehloBuilder {
public:
  explicit StablehloBuilder(mlir::OpBuilder &builder, mlir::Location loc)
      : builder(builder), loc(loc) {}

  mlir::Value splat(mlir::RankedTensorType type, mlir::Attribute element);
  mlir::Value integer(int64_t value); ///< tensor<i32>
  mlir::Value integer(int64_t value, mlir::RankedTensorType type);
  /// `value`, of any integer type, no less than 0 and no more than `most`.
  mlir::Value clamp(mlir::Value value, mlir::DenseElementsAttr most);
  /// One integer for all elements, or one for each.
  static mlir::DenseElementsAttr elements(mlir::RankedTensorType type,
                                          llvm::ArrayRef<int64_t> values);
  mlir::Value reshape(mlir::Value value, llvm::ArrayRef<int64_t> shape);
  /// Dim i of the result is dim `permutation[i]`.
  mlir::Value transpose(mlir::Value value, llvm::ArrayRef<int64_t> permutation);
  mlir::Value barrier(mlir::Value value);
  mlir::Value broadcast(mlir::Value scalar, mlir::RankedTensorType type);
  mlir::Value convert(mlir::Value value, mlir::Type element);
  mlir::Value add(mlir::Value a, mlir::Value b) { return combine(ReductionKind::Add, a, b); }
  mlir::Value subtract(mlir::Value a, mlir::Value b);
  mlir::Value divide(mlir::Value a, mlir::Value b);
  mlir::Value multiply(mlir::Value a, mlir::Value b) { return combine(ReductionKind::Mul, a, b); }
  mlir::Value combine(ReductionKind kind, mlir::Value a, mlir::Value b);
  /// In each dim the elements from `starts` on, before `limits`.
  mlir::Value slice(mlir::Value value, llvm::ArrayRef<int64_t> starts,
                    llvm::ArrayRef<int64_t> limits);
  mlir::Value concatenate(mlir::ValueRange values, int dim);
  /// The part of `value` from `start` along `dim`, `size` long.
  mlir::Value dynamicSlice(mlir::Value value, int dim, mlir::Value start, int64_t size);
  mlir::Value dynamicUpdateSlice(mlir::Value value, mlir::Value part, int dim, mlir::Value start);
  /// Ends the condition of a while op: it goes on while `counter`, an integer, is less.
  void goOnWhileLess(mlir::Value counter, int64_t count);
  /// while (i < count) carried = body(i, carried), from i = 0; returns what is carried at last.
  llvm::SmallVector<mlir::Value> countedLoop(
      int64_t count, mlir::ValueRange carried,
      llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, mlir::ValueRange)> body);

private:
  mlir::Operation *make(llvm::StringRef name, mlir::TypeRange types, mlir::ValueRange operands,
                        llvm::ArrayRef<mlir::NamedAttribute> attributes = {}, int numRegions = 0);
  llvm::SmallVector<mlir::Value> startsOf(mlir::Value value, int dim, mlir::Value start);

  mlir::OpBuilder &builder;
  mlir::Location loc;
};

/// The element that changes nothing when combined; null for element types without one.
mlir::Attribute identityElement(ReductionKind kind, mlir::Type element);
/// How to add values of which all but one are zero: `or` for predicates.
ReductionKind additionOf(mlir::Type type);
/// The element of which `value` is a splat: a constant, or what broadcasts and reshapes make of it.
mlir::Attribute splatElement(mlir::Value value);

} // namespace alpa
