// See the header. Codes are the metadata of diagnostics.

#include "alpa/IR/Remark.h"

namespace alpa {

mlir::InFlightDiagnostic emitCodedRemark(mlir::Location loc, llvm::StringLiteral code) {
  mlir::InFlightDiagnostic remark = mlir::emitRemark(loc);
  if (mlir::Diagnostic *diagnostic = remark.getUnderlyingDiagnostic())
    diagnostic->getMetadata().emplace_back(llvm::StringRef(code));
  return remark;
}

llvm::StringRef codeOf(mlir::Diagnostic &diagnostic) {
  using Kind = mlir::DiagnosticArgument::DiagnosticArgumentKind;
  for (mlir::DiagnosticArgument &argument : diagnostic.getMetadata())
    if (argument.getKind() == Kind::String)
      return argument.getAsString();
  return "";
}

} // namespace alpa
