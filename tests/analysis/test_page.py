"""The page: what it says, that nothing of a record becomes code, and that a browser can use it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pandas import DataFrame

from analysis.load import Loaded, load_runs
from analysis.page.build import Listed, page_html, write_page
from analysis.page.charts import charts, places
from analysis.page.details import MOST_DETAILED, detailed_runs, details, record_pairs
from analysis.page.rows import page_rows, plain
from analysis.page.words import summary_words
from analysis.summary import summarise
from analysis.tables import tables_of
from bench.core.intervals import ratio_of_medians
from tests.analysis.made import Made, make_sweep, make_unreadable

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def listed(loaded: Loaded) -> Listed:
    summary = summarise(loaded.runs)
    return Listed(
        title=f"Sweep {EVIL}",
        unread=loaded.unread,
        not_drawn=[("latency", f"no run {EVIL}")],
        summary=summary,
        tables=list(tables_of(summary, loaded.runs).values()),
    )


def words_of(loaded: Loaded) -> str:
    parts = summary_words(loaded.runs, loaded.unread, summarise(loaded.runs))
    return "\n".join(" ".join([part.heading, *part.sentences]) for part in parts)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Two batch sizes of four seeds each, a miss, an unfit run, and one with code in its record."""
    results = tmp_path_factory.mktemp("sweep")
    folders = make_sweep(
        results, batch_sizes=(32, 256), seeds=range(4), missed=(7,), unhealthy=(1,)
    )
    record = folders[0] / "run.json"
    raw = json.loads(record.read_text())
    raw["config"]["note"] = EVIL
    raw["host"]["os"] = EVIL
    raw["error"] = {"kind": "odd", "message": EVIL, "traceback": None}
    record.write_text(json.dumps(raw))
    make_unreadable(results)
    return load_runs([results])


@pytest.fixture(scope="module")
def page(sweep: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(sweep.runs, listed(sweep), tmp_path_factory.mktemp("page") / "report.html")


# What it says.


def test_the_summary_counts_what_was_read_and_what_was_not(sweep: Loaded) -> None:
    words = words_of(sweep)
    assert "8 trainings of" in words
    assert "4 folders could not be read" in words
    assert "7 reached their target, 1 missed it, 0 failed" in words
    assert "1 run unfit to compare (other_load)" in words


def test_modelled_joules_are_called_no_ground_for_ranking(sweep: Loaded) -> None:
    words = words_of(sweep)
    assert "Joules were obtained as: modelled (8)." in words
    assert "no ground for ranking" in words


def test_the_winner_stands_with_n_interval_and_how_sure_it_is(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(64, 1024), seeds=range(5))
    loaded = load_runs([tmp_path])
    words = words_of(loaded)
    time_s = loaded.runs.groupby("config.batch_size")["target.time_to_target_s"]
    best = time_s.median().idxmin()
    assert re.search(
        rf"Cheapest in time: batch_size={best}, [\d.]+ \[[\d.]+, [\d.]+\] s \(median with 95% "
        r"bootstrap interval, n = 5, 5 of 5 hit\)",
        words,
    )
    # All five of the one before all five of the other: 1 / C(10, 5) = 1/252 = 0.004.
    assert time_s.max().min() < time_s.min().max()
    assert "the difference is significant (one-sided rank test, p = 0.004)" in words


def test_a_difference_that_two_runs_each_cannot_show_is_called_not_significant(
    tmp_path: Path,
) -> None:
    make_sweep(tmp_path, batch_sizes=(64, 256), seeds=range(2))
    words = words_of(load_runs([tmp_path]))
    # At best 1 / C(4, 2) = 1/6.
    assert "the difference is not significant (one-sided rank test, p = 0.17)" in words


def test_what_the_winner_loses_is_told_as_a_ratio_with_its_interval(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(64,), lrs=(0.1,), models=("Mlp", "Cnn"), seeds=range(4))
    loaded = load_runs([tmp_path])
    words = words_of(loaded)
    assert "points less test accuracy than model=Cnn" in words
    ratio = ratio_of_medians([2.0, 2.0], [1.0, 1.0])
    assert ratio.value == 2.0
    assert "the least energy, too" in words


def test_labels_that_differ_are_not_compared(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(64,), seeds=range(3), base=Made(label="counter"))
    make_sweep(tmp_path, batch_sizes=(1024,), seeds=range(3), base=Made(label="modelled"))
    words = words_of(load_runs([tmp_path]))
    assert "Those of different labels are not compared with one another." in words
    assert "J, counter (" in words
    assert "J, modelled (" in words
    assert "times the energy of" not in words


def test_when_nothing_hit_there_is_no_winner(tmp_path: Path) -> None:
    make_sweep(
        tmp_path, batch_sizes=(64,), seeds=range(2), base=Made(outcome="missed", max_samples=5000)
    )
    words = words_of(load_runs([tmp_path]))
    assert "None of 2 runs reached it: there is no cheapest way." in words
    assert "Cheapest" not in words


# What is in it.


def test_rows_are_plain_and_a_miss_holds_what_it_spent(sweep: Loaded) -> None:
    rows = page_rows(sweep.runs)
    json.dumps(rows, allow_nan=False)
    outcomes = [row["outcome"] for row in rows]
    assert outcomes.count("missed") == 1
    miss = rows[outcomes.index("missed")]
    assert miss["samples"] is None
    assert miss["time_s"] > 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (0.123456789, 0.12346),
        (3.0, 3),
        (True, True),
        ("a", "a"),
    ],
)
def test_values_are_rounded_to_what_can_be_seen(value: Any, shown: Any) -> None:
    assert plain(value) == shown


def test_a_record_is_all_there_but_for_the_start_of_a_long_text() -> None:
    pairs = record_pairs(
        {"a.b": 1, "missing": None, "empty": "", "error.traceback": "x" * 5000 + "end"}
    )
    assert [name for name, _ in pairs] == ["a.b", "error.traceback"]
    assert len(pairs[1][1]) < 2010
    assert pairs[1][1].endswith("end")


def test_details_thin_curve_and_telemetry(sweep: Loaded) -> None:
    found = details(sweep.runs.head(1))
    (detail,) = found.values()
    assert 2 < len(detail["curve"]["time_s"]) <= 100
    assert {"accuracy", "energy_total_j", "loss"} < set(detail["curve"])
    assert all(len(series["t_s"]) <= 100 for series in detail["telemetry"])
    assert {series["name"] for series in detail["telemetry"]} >= {"machine cpu_busy_frac"}


def test_of_many_runs_every_configuration_keeps_its_first_ones() -> None:
    runs = DataFrame(
        {
            "command": "train",
            "configuration": [f"c{n % 100}" for n in range(1000)],
            "run_id": range(1000),
        }
    )
    shown = detailed_runs(runs)
    assert len(shown) == MOST_DETAILED
    assert shown["configuration"].nunique() == 100


def test_charts_name_their_data_and_do_not_hold_it(sweep: Loaded) -> None:
    rows = page_rows(sweep.runs)
    found = charts(rows)
    assert "Energy against time to target" in found
    assert all("datasets" not in chart for chart in found.values())
    text = json.dumps(found)
    assert '"name": "runs"' in text
    assert "energy to target (J, modelled)" in text


def test_places_on_a_parallel_axis_run_from_0_to_1(sweep: Loaded) -> None:
    found = places(page_rows(sweep.runs))
    sizes = {row["value"]: row["place"] for row in found if row["dimension"] == "batch size"}
    assert sizes == {32: 0.0, 256: 1.0}


def test_nothing_of_a_record_becomes_code(sweep: Loaded) -> None:
    html = page_html(sweep.runs, listed(sweep))
    assert "window.hacked" in html  # it is shown, as text
    assert "<script>window.hacked" not in html
    assert "<img src=x" not in html
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert data is not None
    assert any(
        EVIL in str(pair) for pair in json.loads(data[1])["details"].popitem()[1]["record"]
    ) or (EVIL in json.dumps(json.loads(data[1])))


def test_the_page_asks_nothing_of_a_network(page: Path) -> None:
    html = page.read_text()
    assert "default-src 'none'" in html
    outside = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", outside)
    assert "@import" not in outside


def test_a_sweep_of_a_hundred_runs_is_under_five_megabytes(tmp_path: Path) -> None:
    make_sweep(
        tmp_path,
        batch_sizes=(16, 32, 64, 128, 256),
        lrs=(0.03, 0.3),
        models=("Mlp", "Cnn"),
        seeds=range(5),
        base=Made(max_samples=20_000),
    )
    loaded = load_runs([tmp_path])
    assert len(loaded.runs) == 100
    assert len(page_html(loaded.runs, listed(loaded)).encode()) < 5_000_000


# In a browser, with the network off.


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium with chromedriver on the path")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1500,1000",
        "--host-resolver-rules=MAP * ~NOTFOUND",  # no name resolves: the network is off
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.get(page.as_uri())
    wait_for(browser, "return document.body.dataset.ready === 'true'")
    return browser


def wait_for(driver: Any, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60, poll_frequency=0.05).until(lambda one: one.execute_script(condition))


def column_of(driver: Any, title: str) -> list[str]:
    values: list[str] = driver.execute_script(
        "const place = [...document.querySelectorAll('#table thead th')]"
        ".findIndex((head) => head.textContent.trim() === arguments[0]);"
        "return [...document.querySelectorAll('#table tbody tr')]"
        ".map((row) => row.children[place].textContent);",
        title,
    )
    return values


def click_head(driver: Any, title: str) -> None:
    driver.execute_script(
        "[...document.querySelectorAll('#table thead th')]"
        ".find((head) => head.textContent.trim() === arguments[0]).click()",
        title,
    )


def test_it_loads_without_an_error_in_the_console(opened: Any) -> None:
    errors = [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    assert opened.execute_script("return document.querySelectorAll('.chart canvas').length") >= 4
    assert opened.execute_script("return window.hacked") is None


def test_sorting_puts_the_quickest_first_and_then_last(opened: Any) -> None:
    head = "time to target (s)"
    click_head(opened, head)
    rising = [float(text) for text in column_of(opened, head)]
    assert rising == sorted(rising)
    click_head(opened, head)
    assert [float(text) for text in column_of(opened, head)] == rising[::-1]


def test_filtering_leaves_what_was_asked_for(opened: Any) -> None:
    assert len(column_of(opened, "outcome")) == 8
    opened.execute_script(
        "const choice = document.querySelector('#filters select[data-column=outcome]');"
        "choice.selectedIndex = [...choice.options].findIndex((one) => one.text === 'missed');"
        "choice.dispatchEvent(new Event('change'));"
    )
    assert column_of(opened, "outcome") == ["missed"]


def test_searching_leaves_what_was_asked_for(opened: Any) -> None:
    opened.execute_script(
        "const box = document.querySelector('#runs input[type=search]');"
        "box.value = 'other_load'; box.dispatchEvent(new Event('input'));"
    )
    wait_for(opened, "return document.querySelectorAll('#table tbody tr').length === 1")
    assert column_of(opened, "unfit because") == ["other_load"]


def test_a_click_on_a_row_shows_curve_telemetry_and_record(opened: Any, sweep: Loaded) -> None:
    evil = str(sweep.runs["run_id"].iloc[0])
    opened.execute_script(
        "document.querySelector(`#table tr[data-run='${arguments[0]}']`).click()", evil
    )
    wait_for(opened, "return document.getElementById('panel').dataset.run !== undefined")
    assert opened.execute_script("return document.getElementById('panel').dataset.run") == evil
    assert opened.execute_script("return document.querySelectorAll('#panel canvas').length") >= 4
    record = opened.execute_script("return document.getElementById('panel-record').textContent")
    assert "target.time_to_target_s" in record
    assert EVIL in record
    assert opened.execute_script("return window.hacked") is None


def test_a_click_on_a_point_shows_that_run(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    run_id, across, down = opened.execute_script(_FIRST_POINT)
    canvas = opened.find_element("css selector", "#chart-0 canvas")
    middle = canvas.size["width"] / 2, canvas.size["height"] / 2
    actions = ActionChains(opened)
    actions.move_to_element_with_offset(canvas, across - middle[0], down - middle[1])
    actions.click().perform()
    wait_for(opened, "return document.getElementById('panel').dataset.run !== undefined")
    assert opened.execute_script("return document.getElementById('panel').dataset.run") == run_id


# The run of one point of the first chart, and where on its canvas that point lies.
_FIRST_POINT = """
const view = document.querySelector('#chart-0').vegaView;
document.querySelector('#chart-0').scrollIntoView({block: 'center'});
let found = null;
const walk = (item, x, y) => {
  if (item.marktype === 'symbol' && item.items[0]?.datum?.run_id) {
    const point = item.items[item.items.length - 1];  // the one on top of all others
    found = [point.datum.run_id, x + point.x, y + point.y];
  }
  for (const each of item.items ?? []) {
    const group = !each.marktype;
    walk(each, x + (group ? each.x ?? 0 : 0), y + (group ? each.y ?? 0 : 0));
  }
};
const [x, y] = view.origin();
walk(view.scenegraph().root, x + view.padding().left, y + view.padding().top);
return found;
"""


def test_a_screenshot_can_be_looked_at(opened: Any, tmp_path: Path) -> None:
    """BENCH_SCREENSHOT=FOLDER keeps it, for a person."""
    folder = Path(os.environ.get("BENCH_SCREENSHOT", tmp_path))
    height = opened.execute_script("return document.documentElement.scrollHeight")
    opened.set_window_size(1500, min(height + 150, 5000))
    path = folder / "report.png"
    assert opened.save_screenshot(str(path))
    assert path.stat().st_size > 50_000  # an empty page is far smaller
    opened.set_window_size(1500, 1000)
