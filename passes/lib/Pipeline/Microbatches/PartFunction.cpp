// See the header.

#include "PartFunction.h"
#include "Normalize/Normalize.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/BitVector.h"

namespace alpa {

Values PartFunction::call(mlir::OpBuilder &builder, const Values &all) const {
  Values operands;
  for (unsigned number : kept)
    operands.push_back(all[number]);
  auto made = mlir::func::CallOp::create(builder, function->getLoc(), function, operands);
  return Values(made.getResults());
}

PartFunctionBuilder::PartFunctionBuilder(mlir::ModuleOp module, llvm::StringRef name,
                                         mlir::Location loc) {
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(module.getBody());
  function = mlir::func::FuncOp::create(builder, loc, name, builder.getFunctionType({}, {}));
  function.setPrivate();
  block = function.addEntryBlock();
}

mlir::BlockArgument PartFunctionBuilder::addArgument(mlir::Type type, mlir::Location loc,
                                                     mlir::DictionaryAttr attributes) {
  argumentAttributes.push_back(attributes);
  return block->addArgument(type, loc);
}

PartFunction PartFunctionBuilder::finish(const Values &results,
                                         llvm::ArrayRef<mlir::DictionaryAttr> resultAttributes) {
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(block);
  mlir::func::ReturnOp::create(builder, function.getLoc(), results);
  eraseDead(function.getBody());
  llvm::SmallVector<unsigned> kept;
  llvm::SmallVector<mlir::Attribute> keptAttributes;
  llvm::BitVector unused(block->getNumArguments());
  for (mlir::BlockArgument argument : block->getArguments())
    if (argument.use_empty()) {
      unused.set(argument.getArgNumber());
    } else {
      kept.push_back(argument.getArgNumber());
      keptAttributes.push_back(argumentAttributes[argument.getArgNumber()]);
    }
  block->eraseArguments(unused);
  function.setFunctionType(
      builder.getFunctionType(block->getArgumentTypes(), mlir::ValueRange(results).getTypes()));
  function.setArgAttrsAttr(builder.getArrayAttr(keptAttributes));
  function.setResAttrsAttr(builder.getArrayAttr(
      llvm::SmallVector<mlir::Attribute>(resultAttributes.begin(), resultAttributes.end())));
  return {function, kept};
}

} // namespace alpa
