// Clones ops for another number of examples: dims that count them become shorter or longer, nothing
// else changes.
#pragma once

#include "alpa/Analysis/BatchDims.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/IRMapping.h"
#include <map>

namespace alpa {

/// A batch-free operand that is read example by example (a mask from iota, bits from a key) is
/// replaced by one for the new number of examples: made anew from operands of that size as far up
/// as its ops are plain, made of the whole where they are not.
class BatchResizer {
public:
  explicit BatchResizer(const BatchDims &batch) : batch(batch) {}
  virtual ~BatchResizer() = default;

  /// What stands for the values of the program; callers map arguments before they clone.
  mlir::IRMapping mapping;

  virtual llvm::LogicalResult clone(mlir::Operation *op, mlir::OpBuilder &builder);
  mlir::Type resized(mlir::Value value) const;

protected:
  /// Of a dim that counts examples, or an extent along it of whole views.
  virtual int64_t resizedExtent(int64_t size) const = 0;
  /// Of a batch-free value, what the new number of examples reads of it.
  virtual mlir::Value fromWhole(mlir::Value whole, const BatchDim &dim,
                                mlir::OpBuilder &builder) = 0;
  /// The same of an iota along that dim; null where it is not made anew.
  virtual mlir::Value countedExamples(mlir::Operation *iota, const BatchDim &dim,
                                      mlir::OpBuilder &builder) = 0;

  mlir::Type resized(mlir::Type type, const BatchDim &dim) const;
  /// Without what is in its regions.
  mlir::Operation *cloneAlone(mlir::Operation *op, mlir::OpBuilder &builder);
  llvm::LogicalResult cloneRegions(mlir::Operation *from, mlir::Operation *to);
  /// The dim by which operand must count examples.
  std::optional<BatchDim> wantedDim(mlir::Operation *op, unsigned operand) const;
  mlir::Value operandFor(mlir::Value operand, const std::optional<BatchDim> &wanted,
                         mlir::OpBuilder &builder);

  const BatchDims &batch;
  /// Parts made so far in the block at work, by value, dim and minor.
  std::map<std::tuple<void *, int, int64_t>, mlir::Value> parts;

private:
  /// All but the terminator.
  llvm::LogicalResult cloneBody(mlir::Block &block, mlir::OpBuilder &builder);
  /// The part of a batch-free value for the new number of examples.
  mlir::Value part(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder);
  mlir::Value remake(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder);
  /// Attributes that repeat the size of a batch dim follow the new types.
  void fitAttributes(mlir::Operation *op, mlir::Operation *copy) const;
  void fitSlice(mlir::Operation *op, const BatchDim &dim, mlir::Operation *copy) const;
  void fitPad(mlir::Operation *op, const BatchDim &dim, mlir::Operation *copy) const;
};

} // namespace alpa
