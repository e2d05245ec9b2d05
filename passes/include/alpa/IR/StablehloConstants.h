// What is known of an op because its operands are constants: integers such as the counters of an
// unrolled loop, and the windows of tensors that they index.
#pragma once

#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/APInt.h"

namespace alpa {

/// The element of an integer tensor at this place, computed from constants and iotas through
/// arithmetic, comparisons, selections, reductions and whatever moves elements. None where it
/// depends on anything else or takes too many steps.
std::optional<llvm::APInt> integerElement(mlir::Value value, llvm::ArrayRef<int64_t> index);

/// Every element is one of `least` to `most`.
struct IntegerRange {
  int64_t least, most;
};
/// What bounds the elements of an integer tensor: constants, iotas, counters of loops that run a
/// known number of times, clamps, and arithmetic on those; else its type. None for types of no
/// integers, or of some that int64 does not hold.
std::optional<IntegerRange> integerRange(mlir::Value value);

/// The operand that a select takes for every element, where ranges say so; null elsewhere.
mlir::Value onlyChoice(mlir::Operation *select);

/// Along one dim of an integer tensor of any shape, elements count 0, 1, 2, ...; along others they
/// are equal: an iota, through conversions, broadcasts and reshapes, and through clamps and choices
/// (of negative indices, say) that never come to pass. None for any other value.
std::optional<int> countingDim(mlir::Value value);

/// A box of a tensor: in each dim `sizes` elements from `starts` on.
struct Window {
  Dims starts, sizes;
};

/// The part of its first operand that a slice of stride 1, a dynamic_slice or a gather of one
/// window reads, or that a dynamic_update_slice or a scatter of one window writes, if constants say
/// which. Starts are clamped as the op clamps them; a scatter that would write beyond the tensor,
/// and therefore writes nothing, has none.
std::optional<Window> constantWindow(mlir::Operation *op);

/// Of a gather of one window, the last start of each element of the index that needs no clamping;
/// none for any other op.
std::optional<Dims> lastStartsOfOnlyWindow(mlir::Operation *op);

/// The operand that a select with a constant predicate returns; null for any other op.
mlir::Value selectedOperand(mlir::Operation *op);

} // namespace alpa
