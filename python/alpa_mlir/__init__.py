"""Automatic parallelism for JAX: the whole public API."""

from alpa_mlir.cluster import Cluster as Cluster
from alpa_mlir.cluster import Device as Device
from alpa_mlir.cluster import Link as Link
from alpa_mlir.create_state import create_state as create_state
from alpa_mlir.energy.frontier import EnergyFrontier as EnergyFrontier
from alpa_mlir.energy.power_model import PowerModel as PowerModel
from alpa_mlir.energy.profile import EnergyProfile as EnergyProfile
from alpa_mlir.errors import AlpaError as AlpaError
from alpa_mlir.options import Auto as Auto
from alpa_mlir.options import DataParallel as DataParallel
from alpa_mlir.options import FixedPlan as FixedPlan
from alpa_mlir.options import FollowPlacement as FollowPlacement
from alpa_mlir.options import PipelineParallel as PipelineParallel
from alpa_mlir.options import ShardParallel as ShardParallel
from alpa_mlir.options import ThreeDParallel as ThreeDParallel
from alpa_mlir.options import Zero2Parallel as Zero2Parallel
from alpa_mlir.options import Zero3Parallel as Zero3Parallel
from alpa_mlir.parallelize import parallelize as parallelize
from alpa_mlir.plans import Plan as Plan
from alpa_mlir.processes.initialize import initialize as initialize
from alpa_mlir.saved_state import Saving as Saving
from alpa_mlir.saved_state import restore as restore
from alpa_mlir.saved_state import save as save
from alpa_mlir.saved_state import saved_numbers as saved_numbers
