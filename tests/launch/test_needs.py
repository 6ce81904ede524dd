"""Checks of what runs need; tests/cli tests them in commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from bench.launch import needs
from bench.launch.needs import Need, announcing, require

MET, UNMET = Need("any:check", ("key", 1)), Need("any:check", ("key", 2))


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refusals(unseen: Sequence[Need]) -> list[str | None]:
        return [None if need is MET else "key=2: is not there" for need in unseen]

    monkeypatch.setattr(needs, "_refusals", refusals)
    needs.forget()
    yield
    needs.forget()


def test_a_check_is_announced_before_it_is_made_and_only_if_it_is() -> None:
    said: list[str] = []
    with announcing(lambda: said.append("checking")):
        require([])
        assert said == []
        require([MET])
        assert said == ["checking"]
        require([MET])  # known to be met
        assert said == ["checking"]
        with pytest.raises(ValueError, match="key=2: is not there"):
            require([MET, UNMET])
    assert said == ["checking"] * 2
    needs.forget()
    require([MET])  # nobody listens
    assert said == ["checking"] * 2
