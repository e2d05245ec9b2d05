"""The search for shardings of a whole program ends when nothing better has come for long."""

import pytest
from alpa_mlir.intra_op.patience import Patience
from alpa_mlir.intra_op.solution import TracePoint


def point(seconds: float, cost: int | None) -> TracePoint:
    return TracePoint(seconds, "search", cost, 0)


@pytest.mark.parametrize(("found", "given_up"), [(0.5, 3.6), (4.0, 12.1)])
def test_patience_lasts_three_seconds_or_twice_the_time_of_the_last_answer(
    found: float, given_up: float
) -> None:
    patience = Patience()
    assert patience(point(0.1, 120))
    assert patience(point(found, 100))
    assert patience(point(given_up - 0.2, 100))
    assert not patience(point(given_up, 100))


def test_better_answers_renew_it_and_none_is_waited_for() -> None:
    patience = Patience()
    assert all(patience(point(seconds, None)) for seconds in (1.0, 30.0))
    assert all(patience(point(*each)) for each in ((31.0, 100), (60.0, 90), (170.0, 90)))
    assert not patience(point(181.0, 90))
