from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analysis.made import make_sweep
from tools.published import main


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    make_sweep(folder / "results", batch_sizes=(32, 64), seeds=range(2), missed=(1,))
    done = main(
        [
            "store",
            str(folder / "results"),
            *("--figures", "tta_eta", "batch_size_time"),
            *("--command", "python -m bench.train -m batch_size=32,64 seed=0,1"),
            *("--out", str(folder / "published")),
        ]
    )
    assert done == 0
    return folder / "published"


def test_the_tables_say_how_where_and_when_the_runs_were_made(published: Path) -> None:
    facts = json.loads((published / "provenance.json").read_text())
    assert facts["command"].startswith("python -m bench.train")
    assert facts["figures"] == ["tta_eta", "batch_size_time"]
    assert facts["num_runs"] == 4
    assert facts["num_unread"] == 0
    assert [host["cpu_name"] for host in facts["hosts"]] == ["Made CPU"]
    # The first run was started at 9:00:00, the last of four 30 s later.
    assert facts["measured_utc"] == ["2026-01-05T09:00:00Z", "2026-01-05T09:00:30Z"]


def test_figures_drawn_from_their_tables_alone_are_the_same(
    published: Path, tmp_path: Path
) -> None:
    for n in (0, 1):
        out = str(tmp_path / str(n))
        assert main(["draw", "--published", str(published), "--out", out]) == 0
    names = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert names == ["batch_size_time.png", "tta_eta.png"]
    for name in names:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_the_tables_of_this_repository_have_the_columns_that_their_figures_read(
    tmp_path: Path,
) -> None:
    folder = Path(__file__).parents[2] / "results" / "published"
    assert main(["draw", "--published", str(folder), "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_published_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", "--published", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "provenance.json: not there; publish figures first" in capsys.readouterr().err


def test_a_table_that_is_gone_is_one_line(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "provenance.json").write_text((published / "provenance.json").read_text())
    assert main(["draw", "--published", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "tta_eta.csv: not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("figure", "message"),
    [("tta", "figures=tta: no such figure"), ("latency", "no run of bench.serve")],
)
def test_what_cannot_be_published_is_one_line(
    figure: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(tmp_path / "results", batch_sizes=(32,), seeds=(0,))
    arguments = ["store", str(tmp_path / "results"), "--figures", figure, "--command", "c"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
