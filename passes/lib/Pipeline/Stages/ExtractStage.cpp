// alpa-extract-stage: of one stage, a program: what it does for one microbatch and its update.

#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Phase.h"
#include "alpa/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

namespace alpa {
#define GEN_PASS_DEF_EXTRACTSTAGE
#include "alpa/Passes.h.inc"
namespace {

class StageExtractor {
public:
  StageExtractor(mlir::ModuleOp module, int64_t stage)
      : module(module), stage(stage), builder(module.getContext()) {}

  llvm::LogicalResult run() {
    for (auto function : module.getOps<mlir::func::FuncOp>())
      if (isOfStage(function))
        own.push_back(function);
    if (own.empty())
      return module.emitError("expected functions of stage ")
             << stage << ", got none; run alpa-split-stages first";
    if (mlir::failed(readNames()))
      return mlir::failure();
    collectReadElsewhere();
    mlir::Attribute numMicrobatches;
    if (auto microbatch = module.lookupSymbol<mlir::func::FuncOp>("microbatch"))
      numMicrobatches = microbatch->getAttr(kNumMicrobatchesAttr);
    eraseOthers();
    mlir::func::FuncOp main = makeMain();
    if (numMicrobatches)
      main->setAttr(kNumMicrobatchesAttr, numMicrobatches);
    eraseMarks();
    return mlir::success();
  }

private:
  bool isOfStage(mlir::func::FuncOp function) {
    std::optional<Phase> phase = phaseOf(function);
    return integerOf(function->getAttr(kStageAttr)) == stage && phase && phase != Phase::Prologue;
  }

  /// Values are matched by name, so each has one, and equal names have equal types.
  llvm::LogicalResult readNames() {
    llvm::StringMap<mlir::Type> types;
    auto read = [&](BoundaryValue value, mlir::Type type) -> llvm::LogicalResult {
      mlir::FailureOr<llvm::StringRef> name = value.string(kValueAttr);
      if (mlir::failed(name))
        return mlir::failure();
      mlir::Type known = types.try_emplace(*name, type).first->second;
      if (known == type)
        return mlir::success();
      return value.function.emitError("expected '")
             << *name << "' to have one type in stage " << stage << ", got " << known << " and "
             << type;
    };
    for (mlir::func::FuncOp function : own) {
      if (function.isExternal())
        return function.emitError("expected a body of @") << function.getName() << ", got none";
      for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
        if (mlir::failed(read({function, static_cast<unsigned>(i)}, type)))
          return mlir::failure();
      for (auto [i, type] : llvm::enumerate(function.getResultTypes()))
        if (mlir::failed(read({function, static_cast<unsigned>(i), /*isResult=*/true}, type)))
          return mlir::failure();
    }
    return mlir::success();
  }

  /// The names of values that other stages read or the step returns.
  void collectReadElsewhere() {
    for (auto function : module.getOps<mlir::func::FuncOp>()) {
      if (function->hasAttr(kStageAttr) && !isOfStage(function))
        for (unsigned i = 0; i < function.getNumArguments(); ++i) {
          add(function.getArgAttr(i, kValueAttr), readElsewhere);
          if (phaseOf(function) != Phase::Update)
            add(function.getArgAttr(i, kValueAttr), readBeforeUpdate);
        }
      if (function->hasAttr(kStageAttr))
        continue;
      for (unsigned i = 0; i < function.getNumResults(); ++i)
        if (!function.getResultAttr(i, kAccumulatorAttr)) // which updates read
          for (llvm::StringSet<> *names : {&readElsewhere, &readBeforeUpdate})
            add(function.getResultAttr(i, kValueAttr), *names);
    }
  }
  static void add(mlir::Attribute name, llvm::StringSet<> &names) {
    if (auto text = llvm::dyn_cast_or_null<mlir::StringAttr>(name))
      names.insert(text.getValue());
  }

  void eraseOthers() {
    for (auto function : llvm::make_early_inc_range(module.getOps<mlir::func::FuncOp>()))
      if (!llvm::is_contained(own, function))
        function.erase();
  }

  mlir::func::FuncOp makeMain() {
    builder.setInsertionPointToStart(module.getBody());
    auto main = mlir::func::FuncOp::create(builder, own.front().getLoc(), "main",
                                           builder.getFunctionType({}, {}));
    main->setAttr("sym_visibility", builder.getStringAttr("public")); // as JAX writes it
    mlir::Block *block = main.addEntryBlock();
    builder.setInsertionPointToStart(block);
    llvm::StringMap<mlir::Value> values;
    llvm::SmallVector<mlir::Attribute> argumentAttributes, resultAttributes;
    llvm::SmallVector<mlir::Value> returned;
    for (mlir::func::FuncOp function : own) {
      llvm::SmallVector<mlir::Value> operands;
      for (unsigned i = 0; i < function.getNumArguments(); ++i) {
        mlir::Value &value =
            values[function.getArgAttrOfType<mlir::StringAttr>(i, kValueAttr).getValue()];
        if (!value) {
          value = block->addArgument(function.getArgument(i).getType(), function.getLoc());
          argumentAttributes.push_back(function.getArgAttrDict(i));
        }
        operands.push_back(value);
      }
      auto call = mlir::func::CallOp::create(builder, function.getLoc(), function, operands);
      for (auto [i, result] : llvm::enumerate(call.getResults())) {
        auto name = function.getResultAttrOfType<mlir::StringAttr>(i, kValueAttr);
        values[name.getValue()] = result;
        // Sums over examples are results even if only the stage's own update reads them: with
        // several microbatches it reads another value than the one that is made here.
        const bool isReadElsewhere = readElsewhere.contains(name.getValue());
        const bool isSum = static_cast<bool>(function.getResultAttr(i, kAccumulateAttr));
        if (!isReadElsewhere && !isSum)
          continue;
        returned.push_back(result);
        mlir::NamedAttrList attributes(function.getResultAttrDict(i));
        if (isSum && !readBeforeUpdate.contains(name.getValue()))
          attributes.set(kForUpdateAttr, builder.getBoolAttr(!isReadElsewhere));
        resultAttributes.push_back(attributes.getDictionary(builder.getContext()));
      }
    }
    mlir::func::ReturnOp::create(builder, main.getLoc(), returned);
    main.setFunctionType(
        builder.getFunctionType(block->getArgumentTypes(), mlir::ValueRange(returned).getTypes()));
    main.setArgAttrsAttr(builder.getArrayAttr(withState(argumentAttributes, resultAttributes)));
    main.setResAttrsAttr(builder.getArrayAttr(resultAttributes));
    return main;
  }

  /// Not so what comes in parts, one from each microbatch.
  static bool isWhole(mlir::DictionaryAttr result) { return !result.get(kBatchDimAttr); }

  /// State arguments point at their next value among the results of this stage. What only the
  /// runtime holds may be given up once it is read.
  llvm::SmallVector<mlir::Attribute> withState(llvm::ArrayRef<mlir::Attribute> arguments,
                                               llvm::ArrayRef<mlir::Attribute> results) {
    llvm::SmallVector<mlir::Attribute> updated;
    for (mlir::Attribute attribute : arguments) {
      mlir::NamedAttrList attributes(llvm::cast<mlir::DictionaryAttr>(attribute));
      if (auto state = llvm::dyn_cast_or_null<mlir::IntegerAttr>(attributes.get(kStateAttr))) {
        attributes.erase(kStateAttr);
        for (auto [i, result] : llvm::enumerate(results))
          if (auto of = llvm::cast<mlir::DictionaryAttr>(result);
              isWhole(of) && of.get(kResultAttr) == state)
            attributes.set(kStateAttr, builder.getI64IntegerAttr(static_cast<int64_t>(i)));
      }
      if (!attributes.get(kArgumentAttr))
        attributes.set("jax.buffer_donor", builder.getBoolAttr(true));
      updated.push_back(attributes.getDictionary(builder.getContext()));
    }
    return updated;
  }

  /// What tells this stage from another that does the same.
  void eraseMarks() {
    module.walk([](mlir::Operation *op) {
      for (llvm::StringRef name : {kLayerAttr, kGradientOfAttr, kOpIdAttr})
        op->removeDiscardableAttr(name);
    });
  }

  mlir::ModuleOp module;
  int64_t stage;
  mlir::OpBuilder builder;
  llvm::SmallVector<mlir::func::FuncOp> own;
  llvm::StringSet<> readElsewhere;
  llvm::StringSet<> readBeforeUpdate; ///< of those, what others than updates read, or the caller
};

struct ExtractStage : impl::ExtractStageBase<ExtractStage> {
  using ExtractStageBase::ExtractStageBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())) ||
        mlir::failed(StageExtractor(getOperation(), stage).run()))
      signalPassFailure();
  }
};

} // namespace
} // namespace alpa
