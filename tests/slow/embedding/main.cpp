// An optimizer of somebody else's with our passes among its own.

#include "alpa/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<mlir::func::FuncDialect>();
  alpa::registerPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "embedding", registry));
}
