"""What a program runs on: the physical cluster, and the logical meshes laid over it."""

from alpa_mlir.cluster.cluster import Cluster as Cluster
from alpa_mlir.cluster.cluster import Device as Device
from alpa_mlir.cluster.link import Link as Link
from alpa_mlir.cluster.logical_mesh import LogicalMesh as LogicalMesh
