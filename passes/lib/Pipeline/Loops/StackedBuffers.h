// What the rows of a stacked buffer are: the values that the iterations of an unrolled loop put
// into it. A slice then reads the value instead of the buffer, and what still needs the whole
// buffer gets one concatenation.
#pragma once

#include "alpa/IR/StablehloBuilder.h"
#include "alpa/IR/StablehloConstants.h"

namespace alpa {

/// Buffers are told in program order, so the rows of an operand are known before those of a result.
class StackedBuffers {
public:
  /// Makes `source` and `window` those of the value that was put there, as far as that is known;
  /// true if they changed.
  bool resolve(mlir::Value &source, Window &window) const;
  /// The window of `source`, resolved: a value, a smaller constant, or a slice made at the
  /// builder's place.
  mlir::Value slice(mlir::Value source, Window window, StablehloBuilder &make) const;

  /// `op` has the rows of its operand `buffer` but for those of the window, which `part` (of the
  /// window's shape) replaces. Nothing is recorded if the window is partial in several dims.
  void recordUpdate(mlir::Operation *op, mlir::Value buffer, const Window &window,
                    mlir::Value part);
  /// As recordUpdate(), but `part` is added to what is in the window.
  void recordAddition(mlir::Operation *op, mlir::Value buffer, const Window &window,
                      mlir::Value part, StablehloBuilder &make);
  /// `op` adds its operands, and one of them is zero but for the rows of one update (the gradient
  /// with respect to a slice): the sum is an update of the other. Nothing is recorded for any other
  /// addition.
  void recordSum(mlir::Operation *op, StablehloBuilder &make);
  void recordConcatenate(mlir::Operation *op);

  /// Replaces the recorded updates and sums. Each that is still read becomes one concatenation, or
  /// stays if some of its rows are what a buffer that came from elsewhere had in them.
  void materialize();

private:
  /// Rows `start` to `start + size` of the buffer are those of `value` from `offset` on.
  struct Piece {
    int64_t start, size;
    mlir::Value value;
    int64_t offset;
  };
  /// All rows along `dim`, in order.
  struct Stack {
    int dim;
    std::vector<Piece> pieces;
  };

  Stack takeStack(mlir::Value buffer, int dim);
  static bool isMadeOfParts(const Stack &stack);
  static void replaceRows(Stack &stack, int64_t start, int64_t size, mlir::Value part);
  mlir::Value concatenated(const Stack &stack, StablehloBuilder &make) const;
  /// The only piece of an update that is not zero.
  const Piece *onlyPart(mlir::Value buffer) const;

  llvm::DenseMap<mlir::Value, Stack> stacks;
  llvm::SmallVector<mlir::Operation *> recorded; ///< updates and sums, in program order
};

} // namespace alpa
