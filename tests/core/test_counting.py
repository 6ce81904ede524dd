import pytest

from bench.core.counting import Ended, choose_run, has_begun, start_order
from bench.core.records.run import NOT_STARTED


def run(status: str, second: int, kind: str | None = None, run_id: str = "r") -> Ended:
    return Ended(status, kind, f"2026-01-01T00:00:{second:02}Z", run_id)


@pytest.mark.parametrize("finished", ["ok", "failed", "out_of_memory"])
@pytest.mark.parametrize("other", ["killed", "interrupted"])
def test_a_finished_run_counts_before_later_interrupted_ones(finished: str, other: str) -> None:
    assert choose_run([run(finished, 1), run(other, 2)]) == 0
    assert choose_run([run(other, 1), run(finished, 2)]) == 1


def test_the_latest_of_several_finished_runs_counts_even_if_it_failed() -> None:
    assert choose_run([run("ok", 1), run("failed", 3), run("ok", 2)]) == 1
    assert choose_run([run("failed", 1), run("ok", 2)]) == 1


def test_runs_of_the_same_second_are_ordered_by_the_fraction_in_their_id() -> None:
    assert choose_run([run("ok", 1, run_id="b"), run("ok", 1, run_id="a")]) == 0
    earlier, later = (
        "20260101T000001Z-ffffffffffff-00000abc",
        "20260101T000001Z-000000000000-f0000abc",
    )
    assert choose_run([run("ok", 1, run_id=later), run("ok", 1, run_id=earlier)]) == 0
    next_second = "20260101T000002Z-000000000000-00000abc"
    assert sorted([next_second, later, earlier], key=start_order) == [earlier, later, next_second]


def test_a_killed_run_counts_only_if_none_finished() -> None:
    assert choose_run([run("killed", 1), run("interrupted", 2), run("killed", 3)]) == 2
    assert choose_run([run("killed", 3), run("ok", 1)]) == 1


def test_interrupted_runs_never_count() -> None:
    assert choose_run([run("interrupted", 1), run("interrupted", 2)]) is None
    assert choose_run([]) is None


def test_a_run_that_never_began_does_not_count() -> None:
    never = run("interrupted", 9, NOT_STARTED)

    assert not has_begun(never)
    assert has_begun(run("interrupted", 9))
    assert choose_run([never]) is None
    assert choose_run([never, run("ok", 1)]) == 1


@pytest.mark.parametrize("status", ["ok", "killed"])
def test_a_run_that_never_began_does_not_count_whatever_its_status(status: str) -> None:
    assert choose_run([run(status, 9, NOT_STARTED)]) is None


def test_a_run_that_a_search_stopped_counts_only_if_no_other_finished() -> None:
    stopped = run("ok", 9)._replace(cut_off=True)
    assert choose_run([stopped, run("ok", 1)]) == 1
    assert choose_run([stopped, run("killed", 10)]) == 0
    assert choose_run([run("ok", 1)._replace(cut_off=True), stopped]) == 1
