// alpa-annotate-shardings: chosen shardings become what XLA obeys: a mesh, shardings of arguments
// and results, and sharding constraints, no more than needed.
//
// XLA ignores shardings on ops, so a constraint follows the op. Its partitioner knows one-step
// reshards only, so longer routes are spelled out.

#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/RoundedResults.h"
#include "alpa/IR/ShardyOps.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/Passes.h"
#include "alpa/Sharding/Partitioner.h"
#include "alpa/Sharding/ReshardTables.h"
#include "core/mesh/ReshardTree.h"
#include "llvm/ADT/MapVector.h"

namespace alpa {

#define GEN_PASS_DEF_ANNOTATESHARDINGS
#include "alpa/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kMeshName = "mesh";

class Annotator {
public:
  Annotator(mlir::ModuleOp module, mlir::FunctionOpInterface func, const ChosenMesh &chosen)
      : module(module), func(func), mesh(chosen.mesh), tables(chosen.mesh, chosen.device) {}

  mlir::LogicalResult run() {
    if (mlir::failed(readSources()) || mlir::failed(readDemands()))
      return mlir::failure();
    for (mlir::Operation *old : meshes(module))
      old->erase();
    makeMesh(module, kMeshName, mesh);
    for (auto &[value, source] : sources)
      annotate(value, source);
    for (auto &[use, sharding] : unsourced)
      constrainConstant(*use, sharding);
    annotateArguments();
    annotateResults();
    return walk([this](mlir::Operation *op) {
      if (kindOf(op) == OpKind::Fft)
        guardFft(op);
      return mlir::success();
    });
  }

private:
  struct Demand {
    mlir::OpOperand *use;
    Sharding sharding;
  };
  /// How a value lies: along the axes that are to be added yet, not as its sharding says.
  struct Placement {
    Sharding sharding;
    AxisSet unreduced = 0;
  };
  struct Source : Placement {
    mlir::Operation *op = nullptr; ///< what decided it; null for arguments
  };

  mlir::LogicalResult readSources() {
    for (mlir::BlockArgument argument : func.getArguments()) {
      auto sharding = readArgument(func, argument.getArgNumber(), mesh);
      if (mlir::failed(sharding))
        return mlir::failure();
      auto unreduced =
          readUnreduced(func.getArgAttr(argument.getArgNumber(), kUnreducedAttr), mesh, [&] {
            return func->emitOpError() << "argument " << argument.getArgNumber() << ": ";
          });
      if (mlir::failed(unreduced))
        return mlir::failure();
      if (*sharding)
        sources[argument] = {{**sharding, *unreduced}, nullptr};
    }
    return walk([&](mlir::Operation *op) -> mlir::LogicalResult {
      auto results = readResults(op, mesh);
      if (mlir::failed(results))
        return mlir::failure();
      auto unreduced = readUnreduced(op->getDiscardableAttr(kUnreducedAttr), mesh,
                                     [&] { return op->emitOpError(); });
      if (mlir::failed(unreduced))
        return mlir::failure();
      if (!*results)
        return mlir::success();
      for (auto [value, sharding] : llvm::zip(op->getResults(), **results))
        sources[value] = {{sharding, *unreduced}, op};
      if (isWhile(op))
        for (mlir::Region *region : {&whileCondition(op), &whileBody(op)})
          for (auto [value, sharding] : llvm::zip(region->getArguments(), **results))
            sources[value] = {{sharding}, op};
      return mlir::success();
    });
  }

  mlir::LogicalResult readDemands() {
    return walk([&](mlir::Operation *op) -> mlir::LogicalResult {
      mlir::FailureOr<llvm::SmallVector<std::optional<Sharding>>> wanted = demandsOf(op);
      if (mlir::failed(wanted))
        return mlir::failure();
      for (auto [use, sharding] : llvm::zip(op->getOpOperands(), *wanted)) {
        if (!sharding)
          continue;
        if (sources.count(use.get()))
          demands[use.get()].push_back({&use, *sharding});
        else if (isWhile(op) || isRegionReturn(op))
          unsourced.push_back({&use, *sharding});
      }
      return mlir::success();
    });
  }

  bool isRegionReturn(mlir::Operation *op) {
    return op == &op->getBlock()->back() && op->getParentOp() != func.getOperation();
  }

  /// What `op` reads each operand in; nullopt where any sharding will do.
  mlir::FailureOr<llvm::SmallVector<std::optional<Sharding>>> demandsOf(mlir::Operation *op) {
    llvm::SmallVector<std::optional<Sharding>> wanted(op->getNumOperands());
    if (op->getParentOp() == func.getOperation() && op == &op->getBlock()->back()) {
      for (unsigned argument = 0; argument < func.getNumArguments(); ++argument)
        if (std::optional<unsigned> result = updatedBy(func, argument))
          if (auto source = sources.find(func.getArgument(argument)); source != sources.end())
            wanted[*result] = source->second.sharding;
      for (unsigned result = 0; result < func.getNumResults(); ++result) {
        auto sharding = readResult(func, result, mesh);
        if (mlir::failed(sharding))
          return mlir::failure();
        if (*sharding && !func.getResultAttr(result, kUnreducedAttr))
          wanted[result] = **sharding;
      }
      return wanted;
    }
    // What flows into a loop or out of a branch has the sharding of the value that is carried.
    const bool isCarrier = isWhile(op) || kindOf(op) == OpKind::OptimizationBarrier;
    mlir::Operation *carrier = isCarrier                                ? op
                               : isRegionReturn(op) && !isCondition(op) ? op->getParentOp()
                                                                        : nullptr;
    auto shardings = carrier ? readResults(carrier, mesh) : readOperands(op, mesh);
    if (mlir::failed(shardings))
      return mlir::failure();
    if (*shardings)
      for (auto [want, sharding] : llvm::zip(wanted, **shardings))
        want = sharding;
    return wanted;
  }

  static bool isCondition(mlir::Operation *op) {
    return isWhile(op->getParentOp()) &&
           op->getParentRegion() == &whileCondition(op->getParentOp());
  }

  /// Constrains `value` itself where needed, then gives each use the sharding it reads, by the
  /// steps that were planned for (ReshardTree).
  void annotate(mlir::Value value, const Source &source) {
    const ReshardTable &table = tables.of(movedType(value)); // asked while its readers are its own
    mlir::OpBuilder builder(module.getContext());
    builder.setInsertionPointAfterValue(value);
    mlir::Value made = value;
    if (needsConstraint(value, source))
      made = source.op && roundsTo(source.op) ? constrainRounded(builder, value, source)
                                              : constrainAll(builder, value, source);
    std::vector<Sharding> wanted;
    for (const Demand &demand : demands[value])
      wanted.push_back(demand.sharding);
    const ReshardTree tree = reshardTree(table, source.sharding, wanted);
    llvm::SmallVector<mlir::Value> reached; // by step
    auto at = [&](int step) { return step < 0 ? made : reached[step]; };
    for (const ReshardTree::Step &step : tree.steps)
      reached.push_back(constrain(builder, at(step.from), {step.step.target}));
    for (auto [demand, arrival] : llvm::zip(demands[value], tree.arrivals))
      demand.use->set(at(arrival));
    if (source.op && kindOf(source.op) == OpKind::ShardingConstraint)
      setConstraint(source.op, text(value.getType(), source));
  }

  /// Shardy carries shardings forward through ops that only rename dims, so these need no
  /// constraint where every axis of the result arrives with an operand, and no reader can add
  /// another axis.
  bool needsConstraint(mlir::Value value, const Source &source) const {
    if (!source.op)
      return false; // arguments have a sharding of their own
    if (source.unreduced)
      return true; // nothing forwards that
    if (shapeOf(value.getType()).empty())
      return false;
    if (llvm::isa<mlir::BlockArgument>(value) || !forwardsShardings(source.op))
      return kindOf(source.op) != OpKind::ShardingConstraint;
    // Where the value is about to change hands, its reader's sharding must not flow back to it.
    for (const Demand &demand : demands.lookup(value))
      if (!(demand.sharding == source.sharding))
        return true;
    for (int axis = 0; axis < mesh.numAxes(); ++axis) {
      if (mesh.axes()[axis].size == 1)
        continue;
      if (source.sharding.dimOf(axis) >= 0 ? !arrives(source.op, axis) : !isOnlyForwarded(value))
        return true;
    }
    return false;
  }

  /// Whether the only reader of `value` passes its sharding on as it is, and will not split it by
  /// more axes.
  bool isOnlyForwarded(mlir::Value value) const {
    if (!value.hasOneUse())
      return false;
    mlir::Operation *reader = *value.user_begin();
    auto results = readResults(reader, mesh);
    return forwardsShardings(reader) && mlir::succeeded(results) && *results &&
           sources.lookup(value).sharding.numShards(mesh) == (*results)->front().numShards(mesh);
  }

  /// Whether some operand of `op` arrives split along `axis`.
  bool arrives(mlir::Operation *op, int axis) const {
    auto operands = readOperands(op, mesh);
    if (mlir::failed(operands) || !*operands)
      return false;
    for (auto [value, sharding] : llvm::zip(op->getOperands(), **operands))
      if (!isFree(value) && sharding.dimOf(axis) >= 0)
        return true;
    return false;
  }

  static bool isFree(mlir::Value value) {
    return value.getDefiningOp() && isConstantLike(value.getDefiningOp());
  }

  void constrainConstant(mlir::OpOperand &use, const Sharding &sharding) {
    if (shapeOf(use.get().getType()).empty())
      return;
    mlir::OpBuilder builder(use.getOwner());
    use.set(constrain(builder, use.get(), {sharding}));
  }

  void annotateArguments() {
    for (mlir::BlockArgument argument : func.getArguments())
      if (auto source = sources.find(argument); source != sources.end())
        func.setArgAttr(argument.getArgNumber(), kShardingAttr,
                        makeAttr(module.getContext(), text(argument.getType(), source->second)));
  }

  void annotateResults() {
    mlir::Operation &ret = func.getFunctionBody().front().back();
    for (mlir::OpOperand &operand : ret.getOpOperands()) {
      Placement placement; // constants come back replicated
      if (auto found = finalPlacement.find(operand.get()); found != finalPlacement.end())
        placement = found->second;
      else if (auto source = sources.find(operand.get()); source != sources.end())
        placement = source->second;
      func.setResultAttr(operand.getOperandNumber(), kShardingAttr,
                         makeAttr(module.getContext(), text(operand.get().getType(), placement)));
    }
  }

  mlir::Value constrain(mlir::OpBuilder &builder, mlir::Value value, const Placement &placement) {
    mlir::Value constrained = makeConstraint(builder, value, text(value.getType(), placement));
    builder.setInsertionPointAfterValue(constrained);
    finalPlacement[constrained] = placement;
    return constrained;
  }

  mlir::Value constrainAll(mlir::OpBuilder &builder, mlir::Value value,
                           const Placement &placement) {
    mlir::Value constrained = constrain(builder, value, placement);
    value.replaceAllUsesExcept(constrained, constrained.getDefiningOp());
    return constrained;
  }

  /// The op computes in the elements that it rounds to. Its readers get them widened again: parts
  /// of a sum are still parts then.
  mlir::Value constrainRounded(mlir::OpBuilder &builder, mlir::Value value, const Source &source) {
    auto wide = llvm::cast<mlir::RankedTensorType>(value.getType());
    value.setType(wide.clone(roundsTo(source.op)));
    source.op->removeDiscardableAttr(kRoundsToAttr);
    mlir::Value narrow = constrain(builder, value, source);
    mlir::Value widened =
        StablehloBuilder(builder, value.getLoc()).convert(narrow, wide.getElementType());
    value.replaceAllUsesExcept(widened, narrow.getDefiningOp());
    finalPlacement[widened] = source;
    return source.unreduced ? constrainAll(builder, widened, source) : widened;
  }

  /// XLA's compiler for CPUs gives an FFT the layout that resharded neighbours have, which its
  /// runtime then refuses (jaxlib 0.10.2). What has one dim has one layout only.
  void guardFft(mlir::Operation *op) {
    auto operands = readOperands(op, mesh);
    if (mlir::failed(operands) || !*operands || (*operands)->front().numShards(mesh) > 1)
      return;
    mlir::OpBuilder builder(op);
    op->setOperand(0, throughOneDim(builder, op->getOperand(0)));
    builder.setInsertionPointAfter(op);
    mlir::Value result = op->getResult(0), guarded = throughOneDim(builder, result);
    result.replaceAllUsesExcept(guarded, op->getNextNode());
  }

  static mlir::Value throughOneDim(mlir::OpBuilder &builder, mlir::Value value) {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
    if (!type || !type.hasStaticShape() || type.getRank() < 2)
      return value;
    StablehloBuilder make(builder, value.getLoc());
    mlir::Value flat = make.barrier(make.reshape(value, {type.getNumElements()}));
    return make.reshape(flat, type.getShape());
  }

  TensorShardingText text(mlir::Type type, const Placement &placement) const {
    TensorShardingText result =
        shardingText(placement.sharding.without(placement.unreduced),
                     static_cast<int>(shapeOf(type).size()), mesh, kMeshName);
    for (int axis = 0; axis < mesh.numAxes(); ++axis)
      if (placement.unreduced >> axis & 1)
        result.unreducedAxes.push_back(mesh.axes()[axis].name);
    return result;
  }

  /// Every op of the function outside the regions that belong to one op (the body of a reduce).
  template <typename Visit> mlir::LogicalResult walk(Visit visit) {
    return walkBlock(func.getFunctionBody().front(), visit);
  }
  template <typename Visit> mlir::LogicalResult walkBlock(mlir::Block &block, Visit visit) {
    for (mlir::Operation &op : block) {
      if (mlir::failed(visit(&op)))
        return mlir::failure();
      if (isWhile(&op) || kindOf(&op) == OpKind::Branch)
        for (mlir::Region &region : op.getRegions())
          if (mlir::failed(walkBlock(region.front(), visit)))
            return mlir::failure();
    }
    return mlir::success();
  }

  mlir::ModuleOp module;
  mlir::FunctionOpInterface func;
  const DeviceMesh mesh;
  llvm::MapVector<mlir::Value, Source> sources;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<Demand>> demands;
  llvm::SmallVector<std::pair<mlir::OpOperand *, Sharding>> unsourced;
  llvm::DenseMap<mlir::Value, Placement> finalPlacement; ///< of constraints we made
  ReshardTables tables;
};

struct AnnotateShardings : impl::AnnotateShardingsBase<AnnotateShardings> {
  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    mlir::FailureOr<ChosenMesh> chosen = readMesh(getOperation());
    if (mlir::failed(chosen))
      return signalPassFailure();
    for (auto func : getOperation().getOps<mlir::FunctionOpInterface>())
      if (!func.isExternal() && mlir::failed(Annotator(getOperation(), func, *chosen).run()))
        return signalPassFailure();
    eraseChoices(getOperation());
    // XLA would take rules left on ops for the user's own and can fail to export the module.
    getOperation().walk([](mlir::Operation *op) { op->removeDiscardableAttr(kShardingRuleAttr); });
  }
};

} // namespace
} // namespace alpa
