// See the header. Parts are filled from the last to the first, so that each makes only what later
// ones or the results need.

#include "FunctionCutter.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/IR/ValuesRead.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include <map>

namespace alpa {
namespace {

/// Ops that a part computes again at most to have one value cheaper.
constexpr int kMaxOpsMadeAgain = 8;

/// FLOPs of an element that are worth less than keeping its result for long.
constexpr double kCheapFlopsPerElement = 1;

bool isSpreading(mlir::Operation *op) {
  if (op->getNumOperands() != 1 || op->getNumResults() != 1)
    return false;
  const bool isMap = kindOf(op) == OpKind::BroadcastInDim || isElementwise(op);
  return isMap && bytes(op->getOperand(0).getType()) < bytes(op->getResult(0).getType());
}

bool isCheapMap(mlir::Operation *op) {
  if (op->getNumResults() != 1)
    return false;
  if (kindOf(op) == OpKind::BroadcastInDim || kindOf(op) == OpKind::Reshape)
    return true;
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(op->getResult(0).getType());
  return type && type.hasStaticShape() && isElementwise(op) &&
         flops(op) <= kCheapFlopsPerElement * static_cast<double>(type.getNumElements());
}

} // namespace

FunctionCutter::FunctionCutter(mlir::func::FuncOp function, std::vector<CutPart> parts,
                               std::function<std::string(int)> nameOf)
    : function(function), body(function.getBody().front()), parts(std::move(parts)),
      nameOf(std::move(nameOf)) {
  opsOf.resize(this->parts.size());
  inputsOf.resize(this->parts.size());
  demandedOf.resize(this->parts.size());
  outputsOf.resize(this->parts.size());
  functions.resize(this->parts.size());
  findState();
}

void FunctionCutter::findState() {
  std::map<unsigned, mlir::Value> stateOf;
  for (mlir::BlockArgument argument : body.getArguments())
    if (std::optional<unsigned> result = updatedBy(function, argument.getArgNumber()))
      stateOf.try_emplace(*result, argument);
  for (auto [result, state] : stateOf)
    stateAndNext.push_back({state, body.back().getOperand(result)});
}

llvm::LogicalResult FunctionCutter::run() {
  collectReadersOutside();
  for (int part = static_cast<int>(parts.size()) - 1; part >= 0; --part)
    if (mlir::failed(fill(part)))
      return mlir::failure();
  nameValues();
  for (int part = 0; part < static_cast<int>(parts.size()); ++part)
    makeFunction(part);
  if (isMade) {
    function.eraseBody();
    function.setPrivate(); // as a declaration must be
  }
  if (!isMade)
    callParts();
  return mlir::success();
}

Placement::Kind FunctionCutter::kindOfPlacement(mlir::Operation *op) const {
  return placements.lookup(op).kind;
}

/// -1 for arguments and what stays.
int FunctionCutter::partOf(mlir::Value value) const {
  mlir::Operation *op = value.getDefiningOp();
  if (!op || kindOfPlacement(op) == Placement::Stays)
    return -1;
  return placements.lookup(op).part;
}

/// What the results, and ops that stay, need of the parts.
void FunctionCutter::collectReadersOutside() {
  auto demand = [this](mlir::Value value) {
    if (int part = partOf(value); part >= 0)
      demandedOf[part].insert(value);
  };
  for (const CutResult &result : results)
    demand(result.value);
  for (mlir::Operation &op : body) {
    const bool isTerminator = &op == &body.back();
    if (isTerminator || kindOfPlacement(&op) == Placement::Stays)
      llvm::for_each(valuesRead(&op), demand);
    else if (kindOfPlacement(&op) == Placement::InPart && !isRemovable(&op))
      opsOf[placements.lookup(&op).part].insert(&op);
  }
}

/// Finds the ops of a part from what is demanded of it, and demands its inputs of earlier parts.
llvm::LogicalResult FunctionCutter::fill(int part) {
  llvm::SmallVector<mlir::Operation *> pending(opsOf[part].begin(), opsOf[part].end());
  auto take = [&](mlir::Operation *op) {
    if (opsOf[part].insert(op).second)
      pending.push_back(op);
  };
  for (mlir::Value value : demandedOf[part])
    take(value.getDefiningOp());
  while (!pending.empty()) {
    mlir::Operation *op = pending.pop_back_val();
    for (mlir::Value value : valuesRead(op)) {
      mlir::Operation *source = value.getDefiningOp();
      const int from = partOf(value);
      const bool isHere =
          source && (from == part || kindOfPlacement(source) == Placement::Free ||
                     (from >= 0 && !shares.contains(value) &&
                      (isSpreading(source) || (isMadeAgain && isMadeAgain(value, part)))));
      if (isHere) {
        take(source);
        continue;
      }
      if (from > part || (source && from < 0))
        return op->emitError("expected '")
               << op->getName() << "' in '" << parts[part].name
               << "' to read values of earlier parts only, got one that '" << source->getName()
               << "' makes in '" << (from < 0 ? function.getName() : parts[from].name) << "'";
      inputsOf[part].insert(value);
    }
  }
  makeAgainFromInputs(part);
  orderInputs(part);
  for (mlir::Value value : inputsOf[part])
    if (int from = partOf(value); from >= 0)
      demandedOf[from].insert(value);
  return mlir::success();
}

/// Whether `op` is cheap to make again from what the part has. Spends `budget`, one for each op.
bool FunctionCutter::isCheapFrom(mlir::Operation *op, int part,
                                 const llvm::SetVector<mlir::Value> &inputs, int &budget) const {
  if (!isCheapMap(op) || --budget < 0)
    return false;
  return llvm::all_of(op->getOperands(), [&](mlir::Value operand) {
    mlir::Operation *source = operand.getDefiningOp();
    if (!source || inputs.contains(operand))
      return inputs.contains(operand);
    if (kindOfPlacement(source) == Placement::Free || opsOf[part].contains(source))
      return true;
    return isCheapFrom(source, part, inputs, budget);
  });
}

void FunctionCutter::makeAgainFromInputs(int part) {
  // In program order, so that one value made again can serve the next.
  Values candidates = inputsOf[part].takeVector();
  inputsOf[part].insert(candidates.begin(), candidates.end());
  llvm::erase_if(candidates, [&](mlir::Value value) {
    return !value.getDefiningOp() || shares.contains(value);
  });
  llvm::sort(candidates, [](mlir::Value a, mlir::Value b) {
    return a.getDefiningOp()->isBeforeInBlock(b.getDefiningOp());
  });
  for (mlir::Value value : candidates) {
    inputsOf[part].remove(value); // it may not be made from itself
    int budget = kMaxOpsMadeAgain;
    if (!isCheapFrom(value.getDefiningOp(), part, inputsOf[part], budget)) {
      inputsOf[part].insert(value);
      continue;
    }
    llvm::SmallVector<mlir::Operation *> pending = {value.getDefiningOp()};
    while (!pending.empty()) {
      mlir::Operation *op = pending.pop_back_val();
      if (!opsOf[part].insert(op).second)
        continue;
      for (mlir::Value operand : op->getOperands())
        if (operand.getDefiningOp() && !inputsOf[part].contains(operand))
          pending.push_back(operand.getDefiningOp());
    }
  }
}

/// State that the part renews comes first, in the order in which it returns the new: XLA pairs
/// donated arguments with results of their type in order, and copies what it pairs wrongly. The
/// rest comes in the order in which the part reads it, so that equal parts look alike.
void FunctionCutter::orderInputs(int part) {
  llvm::SetVector<mlir::Value> ordered;
  for (auto [state, next] : stateAndNext)
    if (partOf(next) == part && inputsOf[part].contains(state))
      ordered.insert(state);
  for (mlir::Operation &op : body)
    if (opsOf[part].contains(&op))
      for (mlir::Value value : valuesRead(&op))
        if (mlir::Operation *source = value.getDefiningOp(); !opsOf[part].contains(source))
          ordered.insert(value);
  inputsOf[part] = std::move(ordered);
}

void FunctionCutter::nameValues() {
  for (mlir::BlockArgument argument : body.getArguments())
    if (auto name =
            function.getArgAttrOfType<mlir::StringAttr>(argument.getArgNumber(), kValueAttr))
      names[argument] = name.str();
  for (const CutResult &result : results) {
    if (int part = partOf(result.value); part >= 0)
      outputsOf[part].push_back({result.value, result.name, result.attributes});
    if (result.isReadByParts)
      names.try_emplace(result.value, result.name);
  }
  // What stays reads the first result that has the value.
  llvm::DenseSet<mlir::Value> valuesReadParts, isOutput;
  for (auto &inputs : inputsOf)
    valuesReadParts.insert(inputs.begin(), inputs.end());
  for (auto &outputs : outputsOf)
    for (const Output &output : outputs)
      isOutput.insert(output.value);
  int number = 0;
  for (mlir::Operation &op : body)
    for (mlir::Value value : op.getResults()) {
      const int part = partOf(value);
      const bool isDemanded = part >= 0 && demandedOf[part].contains(value);
      const bool hasOutput =
          isOutput.contains(value) && (names.contains(value) || !valuesReadParts.contains(value));
      if (!isDemanded || hasOutput)
        continue;
      names[value] = nameOf(number++);
      outputsOf[part].push_back({value, names[value], {}});
    }
}

/// What is returned, in program order, and every other op right before the first that reads it:
/// derivatives that JAX emits beside the forward pass, and the forward of a layer that is computed
/// again, come when the backward of the layer begins.
void FunctionCutter::copyOps(int part, mlir::OpBuilder &builder, mlir::IRMapping &mapping) {
  llvm::DenseSet<mlir::Operation *> copied;
  auto copy = [&](mlir::Operation *op) {
    mlir::Operation *made = builder.clone(*op, mapping);
    for (mlir::NamedAttribute attribute : parts[part].opAttributes)
      made->walk([&](mlir::Operation *nested) {
        nested->setDiscardableAttr(attribute.getName(), attribute.getValue());
      });
  };
  auto copyWithOperands = [&](mlir::Operation *root) {
    llvm::SmallVector<mlir::Operation *> pending = {root};
    while (!pending.empty()) {
      mlir::Operation *op = pending.back();
      const size_t before = pending.size();
      if (!copied.contains(op))
        for (mlir::Value value : valuesRead(op))
          if (mlir::Operation *source = value.getDefiningOp();
              opsOf[part].contains(source) && !copied.contains(source))
            pending.push_back(source);
      if (pending.size() > before)
        continue;
      pending.pop_back();
      if (copied.insert(op).second)
        copy(op);
    }
  };
  llvm::DenseSet<mlir::Operation *> roots;
  for (const Output &output : outputsOf[part])
    roots.insert(output.value.getDefiningOp());
  for (mlir::Operation &op : body)
    if (opsOf[part].contains(&op) && (roots.contains(&op) || !isRemovable(&op)))
      copyWithOperands(&op);
}

void FunctionCutter::makeFunction(int part) {
  if (opsOf[part].empty())
    return;
  mlir::OpBuilder builder(function.getContext());
  builder.setInsertionPoint(function);
  llvm::SmallVector<mlir::Type> inputTypes, outputTypes;
  for (mlir::Value value : inputsOf[part])
    inputTypes.push_back(value.getType());
  for (const Output &output : outputsOf[part])
    outputTypes.push_back(output.value.getType());
  auto made = mlir::func::FuncOp::create(builder, function.getLoc(), parts[part].name,
                                         builder.getFunctionType(inputTypes, outputTypes));
  made.setPrivate();
  for (mlir::NamedAttribute attribute : parts[part].attributes)
    made->setAttr(attribute.getName(), attribute.getValue());

  llvm::SmallVector<mlir::Attribute> ofArguments, ofResults; // set one by one, each copies all
  for (mlir::Value value : inputsOf[part]) {
    mlir::NamedAttrList attributes;
    if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(value))
      attributes = function.getArgAttrDict(argument.getArgNumber());
    if (auto name = names.find(value); name != names.end())
      attributes.set(kValueAttr, builder.getStringAttr(name->second));
    if (describeValue)
      describeValue(value, attributes);
    ofArguments.push_back(attributes.getDictionary(builder.getContext()));
  }
  for (const Output &output : outputsOf[part]) {
    mlir::NamedAttrList attributes(output.attributes);
    attributes.set(kValueAttr, builder.getStringAttr(output.name));
    if (describeValue)
      describeValue(output.value, attributes);
    ofResults.push_back(attributes.getDictionary(builder.getContext()));
  }
  made.setArgAttrsAttr(builder.getArrayAttr(ofArguments));
  made.setResAttrsAttr(builder.getArrayAttr(ofResults));
  functions[part] = made;
  if (!isMade || isMade(part))
    makeBody(part);
}

void FunctionCutter::makeBody(int part) {
  mlir::IRMapping mapping;
  mlir::Block *block = functions[part].addEntryBlock();
  for (auto [value, argument] : llvm::zip_equal(inputsOf[part], block->getArguments()))
    mapping.map(value, argument);
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(block);
  copyOps(part, builder, mapping);
  Values returned;
  for (const Output &output : outputsOf[part])
    returned.push_back(mapping.lookup(output.value));
  mlir::func::ReturnOp::create(builder, function.getLoc(), returned);
}

/// Replaces the ops by calls; those that stay come after them.
void FunctionCutter::callParts() {
  llvm::SmallVector<mlir::Operation *> old, staying;
  for (mlir::Operation &op : body.without_terminator())
    (kindOfPlacement(&op) == Placement::Stays ? staying : old).push_back(&op);
  mlir::OpBuilder builder(&body.back());
  mlir::IRMapping made;
  for (auto [part, callee] : llvm::enumerate(functions)) {
    if (!callee)
      continue;
    Values operands;
    for (mlir::Value value : inputsOf[part])
      operands.push_back(made.lookupOrDefault(value));
    auto call = mlir::func::CallOp::create(builder, function.getLoc(), callee, operands);
    // Of a value that is several results, parts read the one with the name of the value.
    for (auto [output, result] : llvm::zip(outputsOf[part], call.getResults()))
      if (!made.contains(output.value) || names.lookup(output.value) == output.name)
        made.map(output.value, result);
  }
  staying.push_back(&body.back());
  for (mlir::Operation *op : staying) {
    op->walk([&](mlir::Operation *nested) {
      for (mlir::OpOperand &operand : nested->getOpOperands())
        operand.set(made.lookupOrDefault(operand.get()));
    });
    if (op != &body.back())
      op->moveBefore(&body.back());
  }
  for (mlir::Operation *op : llvm::reverse(old))
    op->erase();
}

} // namespace alpa
