// A view of StableHLO (and chlo) ops that needs neither dialect: what an op is, what its attributes
// say, what it costs. The only place that knows how these dialects spell their ops and attributes.
// Attributes are read through generic MLIR attributes or their printed text, so everything here
// works on unregistered ops and in a host that has registered StableHLO. Nothing here trusts the op
// to be well formed: where an attribute is missing or of another shape, readers fail and predicates
// are false.
#pragma once

#include "mlir/IR/Operation.h"
#include "mlir/IR/Value.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace alpa {

/// What an op is, as far as passes and cost models tell ops apart.
enum class OpKind {
  Unknown, ///< not an op of StableHLO, or one nobody asks about
  Elementwise,
  Constant,
  Iota,
  BroadcastInDim,
  Reshape,
  Transpose,
  Slice,
  DynamicSlice,
  DynamicUpdateSlice,
  Concatenate,
  Pad,
  Reverse,
  Gather,
  Scatter,
  DotGeneral,
  RaggedDot,
  Convolution,
  Reduce,
  ReduceWindow,
  SelectAndScatter,
  Sort,
  TopK,
  Fft,
  Cholesky,
  TriangularSolve,
  RngBitGenerator,
  BitcastConvert,
  While,
  Branch, ///< case, if
  OptimizationBarrier,
  ShardingConstraint,
  Call,      ///< func.call
  Composite, ///< stablehlo.composite: a call of its decomposition
  CustomCall,
  Collective, ///< all_reduce and its like
  OtherEffect ///< reads or writes something outside: infeed, send, rng, ...
};
OpKind kindOf(mlir::Operation *op);

/// One result element from the elements at the same place of the operands (chlo and `clamp`,
/// `select` with scalar operands included).
bool isElementwise(mlir::Operation *op);
/// A value that any device can make for itself in any sharding: a constant, an iota, or a splat
/// constant broadcast, reshaped, transposed or converted.
bool isConstantLike(mlir::Operation *op);
/// A scatter or dynamic_update_slice into what isConstantLike() makes: there is no buffer to
/// update, so one of the result's size is filled first.
bool updatesConstant(mlir::Operation *op);
/// No effect and the same result every time, regions included: may be removed when unused.
bool isRemovable(mlir::Operation *op);
/// Pure, and equal ops may be merged. Not so optimization barriers: keeping equal computations
/// apart is their purpose.
bool isMergeable(mlir::Operation *op);

/// A product or a convolution: where models spend their time.
bool isProduct(mlir::Operation *op);

/// How the body of a reduce, reduce_window, scatter, select_and_scatter or all_reduce combines two
/// elements. None: in another way, several operands at once, or not such an op.
enum class ReductionKind { None, Add, Mul, Min, Max, And, Or };
bool isReduction(mlir::Operation *op); ///< reduce or reduce_window
ReductionKind reductionKind(mlir::Operation *op);
/// Of an addition, multiplication, minimum, ...; None for any other op.
ReductionKind elementwiseKind(mlir::Operation *op);

bool isAddition(mlir::Operation *op);
bool isSubtraction(mlir::Operation *op);
bool isConversion(mlir::Operation *op);
bool isClamp(mlir::Operation *op);
/// In which operands an elementwise op is linear, the others held: all together (a - b), any one of
/// them (a * b), or the first alone (a / b). Conversions are where both types are floating.
enum class Linearity { None, Together, AnyOne, First };
Linearity linearityOf(mlir::Operation *op);
bool isSelect(mlir::Operation *op);
/// A scatter that puts the update in place of the element.
bool isAssigningScatter(mlir::Operation *op);

using Dims = llvm::SmallVector<int64_t, 6>;

struct DotDims {
  Dims lhsBatch, rhsBatch, lhsContracting, rhsContracting;
};
mlir::FailureOr<DotDims> dotDims(mlir::Operation *op);

/// The places of a tensor's dims in a convolution; `feature` is the input feature of a kernel,
/// `batch` its output feature.
struct ConvTensorDims {
  int64_t batch = -1, feature = -1;
  Dims spatial;
};
struct ConvDims {
  ConvTensorDims input, kernel, output;
  Dims strides, paddingLow, paddingHigh, inputDilation, kernelDilation;
  int64_t featureGroups = 1, batchGroups = 1;
};
mlir::FailureOr<ConvDims> convDims(mlir::Operation *op);

mlir::FailureOr<Dims> broadcastDims(mlir::Operation *broadcastInDim);
/// Dim i of the result is dim `permutation[i]` of the operand.
mlir::FailureOr<Dims> permutation(mlir::Operation *transpose);
mlir::FailureOr<Dims> reducedDims(mlir::Operation *reduce);
mlir::FailureOr<Dims> windowDims(mlir::Operation *reduceWindow);
mlir::FailureOr<int64_t> concatenateDim(mlir::Operation *concatenate);
mlir::FailureOr<int64_t> iotaDim(mlir::Operation *iota);
struct SliceDims {
  Dims starts, limits, strides;
};
mlir::FailureOr<SliceDims> sliceDims(mlir::Operation *slice);
/// Leaves of every slice under `root` how much it takes, not from where: for comparison, nothing
/// runs or verifies what is left.
void forgetWhereSlicesStart(mlir::Operation *root);
/// Of a triangular solve (the op, or LAPACK's), the dim of the right-hand sides, operand 1, that
/// counts them: each is solved by itself. None for any other op.
std::optional<int> rightHandSideDim(mlir::Operation *op);
struct PadDims {
  Dims low, high, interior;
};
mlir::FailureOr<PadDims> padDims(mlir::Operation *pad);
/// The dims of a gather or scatter. `whole` is what is read or written, `index` the indices.
struct IndexedDims {
  Dims window;        ///< dims of the result (updates) that a window has
  Dims dropped;       ///< dims of `whole` in which windows have one element, and the result no dim
  Dims batching;      ///< dims of `whole` that are walked along with ...
  Dims indexBatching; ///< ... these dims of `index`
  Dims indexed;       ///< dims of `whole` that the elements of an index vector count
  int64_t indexVectorDim = 0;
};
mlir::FailureOr<IndexedDims> indexedDims(mlir::Operation *gatherOrScatter);
void setIndexedDims(mlir::Operation *gatherOrScatter, const IndexedDims &dims);
/// The function a call or composite op runs, null for any other op.
mlir::FlatSymbolRefAttr callee(mlir::Operation *op);

/// A well-formed while op: operand i, argument i of condition and body, value i that the body
/// returns, and result i are one carried value.
bool isWhile(mlir::Operation *op);
/// A well-formed case or if: value i that a branch returns is result i; the operand chooses.
bool isBranch(mlir::Operation *op);
mlir::Region &whileCondition(mlir::Operation *op);
mlir::Region &whileBody(mlir::Operation *op);
/// What the body returns for carried value `index`.
mlir::Value nextValue(mlir::Operation *whileOp, unsigned index);
/// An argument of a loop's body that the body returns unchanged.
bool isLoopInvariant(mlir::BlockArgument argument);
/// An argument of a loop's body that each iteration changes by the same constant.
bool isCounter(mlir::BlockArgument argument);
/// That constant.
std::optional<int64_t> counterStep(mlir::BlockArgument argument);
/// How often the body runs, where that is plain from constants: a counter that the condition
/// compares with a limit and the body changes by a step (what JAX emits for scan and fori_loop).
std::optional<int64_t> tripCount(mlir::Operation *whileOp);
/// The integer that a scalar value always is: a constant, seen through conversions and
/// loop-invariant carried values.
std::optional<int64_t> constantInteger(mlir::Value value);

/// Floating-point operations of one execution, without those of the regions of loops and branches
/// (they are ops of their own). Multiply-add counts two; padding counts as data, dilation zeros do
/// not. Elementwise ops count what a vector unit spends on an element, relative to an addition: 4
/// for division and roots, 10 for exponentials, logarithms and trigonometry, 20 for the special
/// functions of chlo. Moving data is free.
double flops(mlir::Operation *op);
/// Bytes of a tensor (or tuple of tensors) in memory; sub-byte elements packed, predicates one
/// byte. Dynamic dims count 1, tokens 0.
int64_t bytes(mlir::Type type);
/// Numbers of floating point, complex ones included.
bool isFloating(mlir::Type type);

} // namespace alpa
