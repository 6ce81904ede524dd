"""The tables in docs/*.md are up to date with the code, and every field is defined."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from tools.field_docs import DOCS, definitions, fields_table, record_classes, rendered

PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_up_to_date(path: Path) -> None:
    page = path.read_text()
    assert rendered(page) == page, "out of date: run `make docs`"


@pytest.mark.parametrize("name", record_classes())
def test_every_field_has_a_definition_and_nothing_else_has(name: str) -> None:
    cls, _ = record_classes()[name]
    assert list(definitions(cls)) == [field.name for field in fields(cls)]


def test_every_class_of_the_record_has_one_table() -> None:
    """A marker without its end would take in what follows it."""
    text = "".join(path.read_text() for path in PAGES)
    assert sorted(re.findall(r"<!-- fields: (\w+) -->", text)) == sorted(record_classes())
    assert text.count("<!-- metrics of the gate -->") == 1
    assert text.count("<!-- qualities -->") == 1
    assert text.count("<!-- end -->") == len(record_classes()) + 2


def test_a_table_is_rewritten_and_the_text_around_it_stays() -> None:
    made = rendered("Before.\n<!-- fields: Idle -->\n| an old row |\n<!-- end -->\nAfter.\n")
    assert made.startswith(
        "Before.\n<!-- fields: Idle -->\n\n| field | unit | better | definition |"
    )
    assert "\n| `idle.before_w` | W |  | Power of the idle machine before the run. |\n" in made
    assert made.endswith("|\n\n<!-- end -->\nAfter.\n")
    assert "an old row" not in made
    assert rendered(made) == made


def test_units_and_directions_are_those_of_the_catalogue() -> None:
    rows = {row[0]: row[1:3] for row in fields_table("Serving")}
    assert rows["`serving.latency_p90_ms`"] == ["ms", "lower"]
    assert rows["`serving.throughput_per_s`"] == ["1/s", "higher"]
    assert rows["`serving.rate_per_s`"] == ["1/s", ""]
    assert rows["`serving.scenario`"] == ["", ""]


def test_rows_of_a_list_and_of_the_curve_have_the_unit_of_their_name() -> None:
    """They are in no row of the catalogue; nothing says which way they are better."""
    assert [row[:2] for row in fields_table("LadderRung")[:4]] == [
        ["field", "unit"],
        ["`ladder[].value`", ""],
        ["`ladder[].reached`", ""],
        ["`ladder[].time_s`", "s"],
    ]
    rows = {row[0]: row[1] for row in fields_table("CurveRow")}
    assert (rows["`energy_total_j`"], rows["`steps`"]) == ("J", "")


def test_what_lies_in_two_places_is_named_without_them() -> None:
    assert fields_table("Quality")[1][0] == "`at`"


def test_a_marker_of_no_class_of_the_record_is_refused() -> None:
    with pytest.raises(ValueError, match="<!-- fields: Targe -->: no class of the record"):
        rendered("<!-- fields: Targe -->\n<!-- end -->\n")


def test_definitions_end_with_their_section() -> None:
    @dataclass
    class Row:
        """A row.

        Attributes:
            time_s: Seconds: from the start
                to the end.
            count: How many.

        Source: nowhere.
        """

    assert definitions(Row) == {
        "time_s": "Seconds: from the start to the end.",
        "count": "How many.",
    }
    assert definitions(type("Bare", (), {})) == {}


def test_a_field_without_a_definition_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Row:
        """A row.

        Attributes:
            time_s: From the start to the end.
        """

        time_s: float
        energy_j: float

    monkeypatch.setitem(record_classes(), "Row", (Row, ("",)))
    with pytest.raises(ValueError, match=r"Row\.energy_j: no definition"):
        fields_table("Row")
