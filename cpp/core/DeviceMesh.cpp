#include "core/DeviceMesh.h"
