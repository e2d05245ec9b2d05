"""Every error alpa_mlir raises on purpose.

Each message states the violated relation with its values, and the next thing to try.
"""


class AlpaError(Exception):
    """Base of all errors of alpa_mlir."""


class ArgumentError(AlpaError, ValueError):
    """An argument of the public API has a wrong position, name, type or shape."""


class ArgumentMismatchError(ArgumentError, TypeError):
    """Arguments are not those that an executable was compiled for, or lie elsewhere.

    Found before anything has run.
    """


class TraceError(AlpaError):
    """The function could not be turned into one StableHLO module."""


class PassError(AlpaError):
    """A compiler pass refused the module. The text is MLIR's diagnostics."""


class InfeasibleError(AlpaError):
    """No choice of shardings satisfies the constraints, most often for lack of memory."""


class SolverError(AlpaError):
    """The solver stopped without a usable answer."""


class ScheduleError(AlpaError):
    """A pipeline schedule, or the instructions made from it, break a rule."""


class PlanError(AlpaError):
    """A plan cannot be used: it is damaged, of another version, or made for another program."""


class ClusterError(AlpaError):
    """A cluster description is wrong, or does not fit the devices that are there."""


class EnergyError(AlpaError):
    """An energy profile is wrong or lacks something, or no plan keeps the time asked for."""


class CheckpointError(AlpaError):
    """State cannot be kept on disk, or what is there is not the state that was asked for."""


class DamagedCheckpointError(CheckpointError):
    """Files of a checkpoint are not there, or not whole."""


class CompileError(AlpaError):
    """XLA refused the annotated module."""


class ProcessError(AlpaError):
    """The processes of a job cannot work together: one has failed, cannot be reached, or differs
    from the others."""
