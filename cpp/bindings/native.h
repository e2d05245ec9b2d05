// One function per area of the core; each is defined in bind_<area>.cpp.
#pragma once

#include <nanobind/nanobind.h>

void bindModule(nanobind::module_ &m);
void bindShardingModel(nanobind::module_ &m);
void bindProblem(nanobind::module_ &m);
void bindOpt(nanobind::module_ &m);
void bindLayer(nanobind::module_ &m);
void bindStage(nanobind::module_ &m);
void bindTransfer(nanobind::module_ &m);
void bindSimulate(nanobind::module_ &m);
void bindEnergy(nanobind::module_ &m);
void bindArguments(nanobind::module_ &m);
