// See the header.

#include "StackedBuffers.h"
#include "mlir/IR/TypeUtilities.h"

namespace alpa {
namespace {

llvm::ArrayRef<int64_t> shapeOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType()).getShape();
}

bool isZero(mlir::Value value) {
  mlir::Attribute element = splatElement(value);
  return element && element == identityElement(ReductionKind::Add,
                                               mlir::getElementTypeOrSelf(value.getType()));
}

Dims limitsOf(const Window &window) {
  Dims limits;
  for (auto [start, size] : llvm::zip(window.starts, window.sizes))
    limits.push_back(start + size);
  return limits;
}

Window wholeOf(mlir::Value value) { return {Dims(shapeOf(value).size(), 0), Dims(shapeOf(value))}; }

/// The dims in which the window is not all of the tensor.
Dims partialDims(const Window &window, llvm::ArrayRef<int64_t> shape) {
  Dims partial;
  for (auto [dim, size] : llvm::enumerate(shape))
    if (window.sizes[dim] != size)
      partial.push_back(dim);
  return partial;
}

} // namespace

bool StackedBuffers::resolve(mlir::Value &source, Window &window) const {
  bool changed = false;
  while (!partialDims(window, shapeOf(source)).empty()) {
    if (auto stack = stacks.find(source); stack != stacks.end()) {
      int64_t &start = window.starts[stack->second.dim];
      int64_t limit = start + window.sizes[stack->second.dim];
      auto piece = llvm::find_if(stack->second.pieces, [&](const Piece &piece) {
        return piece.start <= start && limit <= piece.start + piece.size;
      });
      if (piece == stack->second.pieces.end())
        return changed; // rows of several values
      source = piece->value;
      start += piece->offset - piece->start;
    } else {
      mlir::Operation *op = source.getDefiningOp();
      std::optional<Window> outer =
          op && kindOf(op) == OpKind::Slice ? constantWindow(op) : std::nullopt;
      if (!outer)
        return changed;
      source = op->getOperand(0);
      for (auto [start, from] : llvm::zip(window.starts, outer->starts))
        start += from;
    }
    changed = true;
  }
  return changed;
}

mlir::Value StackedBuffers::slice(mlir::Value source, Window window, StablehloBuilder &make) const {
  resolve(source, window);
  if (partialDims(window, shapeOf(source)).empty())
    return source;
  if (mlir::Attribute element = splatElement(source)) {
    auto type = llvm::cast<mlir::RankedTensorType>(source.getType());
    return make.splat(type.clone(window.sizes), element);
  }
  return make.slice(source, window.starts, limitsOf(window));
}

void StackedBuffers::recordUpdate(mlir::Operation *op, mlir::Value buffer, const Window &window,
                                  mlir::Value part) {
  Dims partial = partialDims(window, shapeOf(buffer));
  if (partial.size() > 1 || shapeOf(buffer).empty())
    return;
  int dim = partial.empty() ? 0 : static_cast<int>(partial.front());
  Stack stack = takeStack(buffer, dim);
  replaceRows(stack, window.starts[dim], window.sizes[dim], part);
  stacks[op->getResult(0)] = std::move(stack);
  recorded.push_back(op);
}

void StackedBuffers::recordAddition(mlir::Operation *op, mlir::Value buffer, const Window &window,
                                    mlir::Value part, StablehloBuilder &make) {
  mlir::Value before = slice(buffer, window, make);
  recordUpdate(op, buffer, window, isZero(before) ? part : make.add(before, part));
}

void StackedBuffers::recordSum(mlir::Operation *op, StablehloBuilder &make) {
  for (unsigned i : {1, 0}) {
    mlir::Value other = op->getOperand(1 - i);
    const Piece *part = onlyPart(op->getOperand(i));
    if (!part)
      continue;
    int dim = stacks.find(op->getOperand(i))->second.dim;
    Window window = wholeOf(other);
    window.starts[dim] = part->start;
    window.sizes[dim] = part->size;
    recordAddition(op, other, window, slice(op->getOperand(i), window, make), make);
    return;
  }
}

void StackedBuffers::recordConcatenate(mlir::Operation *op) {
  mlir::FailureOr<int64_t> dim = concatenateDim(op);
  if (mlir::failed(dim))
    return;
  Stack stack = {static_cast<int>(*dim), {}};
  int64_t start = 0;
  for (mlir::Value part : op->getOperands()) {
    int64_t size = shapeOf(part)[*dim];
    stack.pieces.push_back({start, size, part, 0});
    start += size;
  }
  stacks[op->getResult(0)] = std::move(stack);
}

void StackedBuffers::materialize() {
  // From the last to the first: what a later one is made of may be an earlier one.
  for (mlir::Operation *op : llvm::reverse(recorded)) {
    mlir::Value result = op->getResult(0);
    if (!result.use_empty()) {
      auto stack = stacks.find(result);
      if (stack == stacks.end() || !isMadeOfParts(stack->second))
        continue;
      mlir::OpBuilder builder(op);
      StablehloBuilder make(builder, op->getLoc());
      result.replaceAllUsesWith(concatenated(stack->second, make));
    }
    op->erase();
  }
}

/// A buffer that nothing else reads gives its rows away: copies of long chains would add up.
StackedBuffers::Stack StackedBuffers::takeStack(mlir::Value buffer, int dim) {
  auto known = stacks.find(buffer);
  if (known == stacks.end() || known->second.dim != dim)
    return {dim, {{0, shapeOf(buffer)[dim], buffer, 0}}};
  if (!buffer.hasOneUse())
    return known->second;
  Stack stack = std::move(known->second);
  stacks.erase(known);
  return stack;
}

bool StackedBuffers::isMadeOfParts(const Stack &stack) {
  return llvm::all_of(stack.pieces, [&](const Piece &piece) {
    return piece.size == shapeOf(piece.value)[stack.dim] || splatElement(piece.value);
  });
}

void StackedBuffers::replaceRows(Stack &stack, int64_t start, int64_t size, mlir::Value part) {
  int64_t limit = start + size;
  std::vector<Piece> pieces;
  for (const Piece &piece : stack.pieces) {
    int64_t end = piece.start + piece.size;
    if (piece.start < start)
      pieces.push_back(
          {piece.start, std::min(end, start) - piece.start, piece.value, piece.offset});
    if (piece.start <= start && start < end)
      pieces.push_back({start, size, part, 0});
    if (end > limit) {
      int64_t from = std::max(piece.start, limit);
      pieces.push_back({from, end - from, piece.value, piece.offset + from - piece.start});
    }
  }
  stack.pieces = std::move(pieces);
}

mlir::Value StackedBuffers::concatenated(const Stack &stack, StablehloBuilder &make) const {
  llvm::SmallVector<mlir::Value> parts;
  for (const Piece &piece : stack.pieces) {
    Window window = wholeOf(piece.value);
    window.starts[stack.dim] = piece.offset;
    window.sizes[stack.dim] = piece.size;
    parts.push_back(slice(piece.value, window, make));
  }
  return parts.size() == 1 ? parts.front() : make.concatenate(parts, stack.dim);
}

const StackedBuffers::Piece *StackedBuffers::onlyPart(mlir::Value buffer) const {
  auto stack = stacks.find(buffer);
  if (stack == stacks.end() || kindOf(buffer.getDefiningOp()) == OpKind::Concatenate)
    return nullptr;
  const Piece *only = nullptr;
  for (const Piece &piece : stack->second.pieces)
    if (!isZero(piece.value)) {
      if (only)
        return nullptr;
      only = &piece;
    }
  return only;
}

} // namespace alpa
