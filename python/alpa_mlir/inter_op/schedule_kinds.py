"""The schedules by the names that options and plans have for them."""

from alpa_mlir._native import ScheduleKind

SCHEDULE_KINDS = {
    "gpipe": ScheduleKind.GPIPE,
    "1f1b": ScheduleKind.ONE_F_ONE_B,
    "eager_1f1b": ScheduleKind.EAGER_ONE_F_ONE_B,
    "inference": ScheduleKind.INFERENCE,
}
