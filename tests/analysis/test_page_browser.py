"""The page in a real browser with the network off: what is drawn, and what can be clicked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.load.history import load_history
from analysis.load.runs import Loaded, load_runs
from analysis.page.build import prepare_page, write_page
from tests.analysis.made import Made, Served, make_served, make_sweep
from tests.analysis.made_history import STEP, series, written
from tests.analysis.made_maintained import make_policies
from tests.analysis.made_page import EVIL, hostile_sweep, listed, listed_without_tables
from tests.analysis.made_records import SWEEP_START

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return hostile_sweep(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def page(sweep: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(sweep.runs, listed(sweep), tmp_path_factory.mktemp("page") / "report.html")


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
    """The page, loaded by the first test that needs it; others find it as it was then."""
    if browser.current_url != page.as_uri():
        browser.get(page.as_uri())
        wait_for(browser, "return document.body.dataset.ready === 'true'")
    browser.execute_script(_RESET)
    return browser


# What tests change: the choice of a filter, the search, the order of rows, the panel. Each event
# draws all charts again.
_RESET = """
for (const choice of document.querySelectorAll('#filters select')) {
  if (choice.value === 'all') continue;
  choice.value = 'all';
  choice.dispatchEvent(new Event('change'));
}
const box = document.querySelector('#runs input[type=search]');
if (box.value !== '') {
  box.value = '';
  box.dispatchEvent(new Event('input'));
}
document.getElementById('close').click();
delete document.getElementById('panel').dataset.run;
window.scrollTo(0, 0);
"""


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
    assert column_of(opened, "incomparable because") == ["other_load"]


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
    texts = {
        part: opened.execute_script(
            f"return document.getElementById('panel-{part}').innerText.replaceAll(/\\s+/g, ' ')"
        )
        for part in ("phases", "energy", "neighbours")
    }
    assert re.search(r"train [\d.]+ m?s [\d.]+ m?J", texts["phases"])
    assert re.search(r"cpu [\d.]+ m?J modelled", texts["energy"])
    assert re.search(r"batch_size: 32 → 256 [\d.]+ times the time", texts["neighbours"])
    opened.execute_script("document.querySelector('#panel-neighbours a').click()")
    wait_for(opened, f"return document.getElementById('panel').dataset.run !== '{evil}'")
    title = opened.execute_script("return document.getElementById('panel-title').textContent")
    assert title == "batch_size=256, seed 0"
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


def test_a_narrow_screen_needs_no_scrolling_to_the_side(opened: Any) -> None:
    narrow = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        # The charts are drawn anew, narrower.
        wait_for(
            opened,
            "const canvases = [...document.querySelectorAll('#grid figure:not(.wide) canvas')];"
            "return canvases.length === 6 && canvases.every((canvas) =>"
            " canvas.getBoundingClientRect().right <= 390);",
        )
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        # A row of the summary is a list of cells with their headings.
        assert not opened.execute_script(
            "return document.querySelector('table.findings thead').offsetHeight"
        )
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_screenshot_can_be_looked_at(opened: Any, tmp_path: Path) -> None:
    """BENCH_SCREENSHOT=FOLDER keeps it, for a person."""
    folder = Path(os.environ.get("BENCH_SCREENSHOT", tmp_path))
    height = opened.execute_script("return document.documentElement.scrollHeight")
    opened.set_window_size(1500, min(height + 150, 5000))
    path = folder / "report.png"
    assert opened.save_screenshot(str(path))
    assert path.stat().st_size > 50_000  # an empty page is far smaller
    opened.set_window_size(1500, 1000)


# What is drawn. A mark counts if its colour is on the canvas where it should be.

_MARKS = """
const found = {};
for (const [place, box] of [...document.querySelectorAll('.chart')].entries()) {
  const view = box.vegaView, canvas = box.querySelector('canvas');
  const ratio = canvas.width / canvas.clientWidth;
  const paper = canvas.getContext('2d');
  const coloured = (x, y, reach) => {
    const side = Math.ceil(2 * reach * ratio);
    const left = Math.round((x - reach) * ratio), top = Math.round((y - reach) * ratio);
    const pixels = paper.getImageData(left, top, side, side).data;
    for (let n = 0; n < pixels.length; n += 4) {
      const [red, green, blue] = pixels.slice(n, n + 3);
      if (Math.max(red, green, blue) - Math.min(red, green, blue) > 40) return true;
    }
    return false;
  };
  const own = { runs: 0, drawn: 0, hollow: 0, shapes: {}, lines: 0, linesDrawn: 0, dotted: 0 };
  const walk = (item, x, y) => {
    if (item.marktype === 'symbol' && item.items[0]?.datum?.run_id) {
      for (const point of item.items) {
        own.runs += 1;
        own.drawn += coloured(x + point.x, y + point.y, Math.sqrt(point.size) / 2 + 2) ? 1 : 0;
        own.hollow += point.fillOpacity === 0 ? 1 : 0;
        own.shapes[point.shape] = (own.shapes[point.shape] ?? 0) + 1;
      }
    }
    if (item.marktype === 'line' && item.items[0]?.datum?.run_id) {
      const point = item.items.find((each) => each.defined !== false);
      own.lines += 1;
      own.linesDrawn += coloured(x + point.x, y + point.y, 4) ? 1 : 0;
      own.dotted += point.strokeDash[1] > 0 ? 1 : 0;
    }
    for (const each of item.items ?? []) {
      const group = !each.marktype;
      walk(each, x + (group ? each.x ?? 0 : 0), y + (group ? each.y ?? 0 : 0));
    }
  };
  const [x, y] = view.origin();
  walk(view.scenegraph().root, x + view.padding().left, y + view.padding().top);
  const title = box.parentElement.querySelector('figcaption').textContent;
  if (own.runs || own.lines) found[title] = own;
}
return found;
"""
_TEXTS = """
const found = {};
for (const box of document.querySelectorAll('.chart')) {
  const own = found[box.parentElement.querySelector('figcaption').textContent] = {};
  const walk = (item, role) => {
    if (item.marktype === 'text') (own[role] ??= []).push(...item.items.map(({ text }) => text));
    for (const each of item.items ?? []) walk(each, each.role ?? role);
  };
  walk(box.vegaView.scenegraph().root, '');
}
return found;
"""
_LINES = "All settings and results of these runs"
_SCATTERS = {
    "Energy against time to target",
    "Time to target against batch size",
    "The two factors",
    "Quality against latency",
    "Quality against energy per prediction",
    "Throughput against latency",
}


def test_axes_have_units_with_prefixes_and_no_powers_of_ten(opened: Any) -> None:
    texts = opened.execute_script(_TEXTS)
    for title in _SCATTERS:
        labels = [text for text in texts[title]["axis-label"] if text]
        titles = texts[title]["axis-title"]
        assert not any(re.search(r"e[-+]?\d|0\.000|00000", text) for text in labels), title
        assert not any(re.search(r"\((s|ms|J|USD|bytes)\b", text) for text in titles), title
    labels = texts["Energy against time to target"]["axis-label"]
    assert all(re.fullmatch(r"[\d.]+ (ms|s|mJ|J)|", text) for text in labels)
    labels = texts["Time to target against batch size"]["axis-label"]
    assert labels[:2] == ["32", "256"]


def marks_of(driver: Any, loaded: Loaded, folder: Path) -> Mapping[str, Any]:
    """What is drawn of these runs, on a page without the tables that stand beside the charts."""
    page = write_page(loaded.runs, listed_without_tables(loaded), folder / "report.html")
    driver.get(page.as_uri())
    wait_for(driver, "return document.body.dataset.ready === 'true'")
    found: Mapping[str, Any] = driver.execute_script(_MARKS)
    return found


def test_every_run_is_drawn_where_all_are_incomparable(browser: Any, tmp_path: Path) -> None:
    """Every chart was empty then: a hollow mark had no outline."""
    make_sweep(tmp_path / "r", batch_sizes=(32, 256), seeds=range(3), unhealthy=range(6))
    found = marks_of(browser, load_runs([tmp_path / "r"]), tmp_path)
    assert set(found) == {*_SCATTERS, _LINES}
    for title in _SCATTERS:
        own = found[title]
        assert (own["runs"], own["drawn"], own["hollow"]) == (6, 6, 6), title
    own = found[_LINES]
    assert (own["lines"], own["linesDrawn"], own["dotted"]) == (6, 6, 6)
    verdict = "return document.querySelector('.verdict').textContent"
    assert "the box above lets them count" in browser.execute_script(verdict)
    browser.execute_script("document.querySelector('#decide-form [name=unfit]').click()")
    assert "1,000,000 predictions" in browser.execute_script(verdict)


def test_fit_and_incomparable_misses_and_failures_are_drawn_in_shapes_of_their_own(
    browser: Any, tmp_path: Path
) -> None:
    make_sweep(
        tmp_path / "r",
        batch_sizes=(32, 256),
        seeds=range(3),
        missed=(0, 1),
        failed=(2,),
        unhealthy=(0, 2, 5),
    )
    found = marks_of(browser, load_runs([tmp_path / "r"]), tmp_path)
    assert set(found) == {*_SCATTERS, _LINES}
    for title in _SCATTERS - {"The two factors"}:
        own = found[title]
        # The failed run measured no latency.
        num, hollow = (6, 3) if "time to target" in title.lower() else (5, 2)
        assert (own["runs"], own["drawn"], own["hollow"]) == (num, num, hollow), title
    own = found["Energy against time to target"]
    assert own["shapes"] == {"circle": 3, "triangle-up": 2, "cross": 1}
    # Only a run that reached its target has factors.
    own = found["The two factors"]
    assert (own["runs"], own["drawn"], own["hollow"]) == (3, 3, 1)
    own = found[_LINES]
    assert (own["lines"], own["linesDrawn"], own["dotted"]) == (6, 6, 3)


def test_the_history_of_the_gate_has_its_changes_in_words_and_a_point_for_each_check(
    browser: Any, tmp_path: Path
) -> None:
    make_sweep(tmp_path / "r", batch_sizes=(32,), seeds=(0,))
    values = series("time_to_target_s", STEP, [3]), series("energy_to_target_j", STEP, [])
    history = load_history(written(tmp_path / "history", *values))
    runs = load_runs([tmp_path / "r"])
    beside = listed_without_tables(runs)
    prepared = prepare_page(runs.runs, beside.summary, history=history)
    page = write_page(runs.runs, beside, tmp_path / "report.html", prepared=prepared)
    browser.get(page.as_uri())
    wait_for(browser, "return document.body.dataset.ready === 'true'")
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#history tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    # The medians of 1, 1.01, 0.99 and of 1.05, 1.06, 1.04.
    commit, place = "c0ffee0", "train mlp digits"
    assert rows == [
        [commit, "2026-01-04", "time to target", place, "1 s", "1.05 s", "worse by 5.0%", "0.001"]
    ]
    num_points = (
        "return [...document.querySelectorAll('#history .chart')].map((box) => {"
        " let found = 0; const walk = (item) => {"
        "   if (item.marktype === 'symbol') found += item.items.length;"
        "   (item.items ?? []).forEach(walk); };"
        " walk(box.vegaView.scenegraph().root); return found; })"
    )
    assert browser.execute_script(num_points) == [6, 6]


def test_charts_are_of_one_group_and_another_one_can_be_chosen(
    browser: Any, tmp_path: Path
) -> None:
    later = SWEEP_START + timedelta(hours=1)
    folders = make_sweep(tmp_path / "r", batch_sizes=(32, 256), seeds=range(3))
    make_sweep(tmp_path / "r", batch_sizes=(32,), seeds=(0, 1), base=Made(target=0.8, start=later))
    make_served(tmp_path / "r", folders[0], Served())
    found = marks_of(browser, load_runs([tmp_path / "r"]), tmp_path)
    # Latency of the probe and of the serving, and the other target's runs, are no rivals of these.
    assert {found[title]["runs"] for title in _SCATTERS} == {6}
    titles = browser.execute_script(
        "return [...document.querySelectorAll('#group option')].map((one) => one.textContent)"
    )
    assert titles == [
        "train: accuracy ≥ 0.93 (6 runs)",
        "train: accuracy ≥ 0.8 (2 runs)",
        "serve (1 run)",
    ]
    browser.execute_script(
        "const choice = document.getElementById('group'); choice.selectedIndex = 1;"
        "document.getElementById('grid').dataset.group = '';"
        "choice.dispatchEvent(new Event('change'));"
    )
    wait_for(browser, "return document.getElementById('grid').dataset.group.endsWith('≥ 0.8')")
    found = browser.execute_script(_MARKS)
    assert {(found[title]["runs"], found[title]["drawn"]) for title in _SCATTERS} == {(2, 2)}


def test_a_run_that_was_measured_again_is_in_the_table_only(browser: Any, tmp_path: Path) -> None:
    again = Made(start=SWEEP_START + timedelta(hours=1))
    make_sweep(tmp_path / "r", batch_sizes=(32,), seeds=range(3), interrupted=(0,))
    make_sweep(tmp_path / "r", batch_sizes=(32,), seeds=(0, 1), base=again)
    found = marks_of(browser, load_runs([tmp_path / "r"]), tmp_path)
    assert {found[title]["runs"] for title in _SCATTERS} == {3}
    assert sorted(column_of(browser, "outcome")) == [
        *("interrupted", "reached", "reached", "reached", "superseded"),
    ]


def test_deployments_have_charts_and_their_windows_beside_the_record(
    browser: Any, tmp_path: Path
) -> None:
    make_policies(tmp_path / "results", seeds=range(2))
    loaded = load_runs([tmp_path / "results"])
    path = write_page(loaded.runs, listed_without_tables(loaded), tmp_path / "report.html")
    browser.get(path.as_uri())
    wait_for(browser, "return document.body.dataset.ready === 'true'")
    titles = browser.execute_script(
        "return [...document.querySelectorAll('#grid figcaption')].map((one) => one.textContent)"
    )
    assert "Upkeep against predictions below the target" in titles
    assert "predictions below the target" not in column_heads(browser)
    assert "predictions on target (fraction)" in column_heads(browser)
    browser.execute_script("document.querySelector('#table tbody tr td').click()")
    wait_for(browser, "return document.getElementById('panel').dataset.run")
    # Accuracy of the windows, and joules of the retrainings.
    panels = "return document.querySelectorAll('#panel-curve canvas').length"
    assert browser.execute_script(panels) == 2
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def column_heads(driver: Any) -> list[str]:
    heads: list[str] = driver.execute_script(
        "return [...document.querySelectorAll('#table thead th')]"
        ".map((head) => head.textContent.trim())"
    )
    return heads


# The form to decide by. Two choices and what follows by hand: A costs 10 J to train and 2 mJ for
# each prediction, B 110 J and 1 mJ. B pays off after (110 - 10) / 0.001 = 100,000 predictions.
CHOICES = """
const choice = (name, training, each, latency, quality, label = 'counter', unfit = '') => ({
  name, num: 6, unfit, quality, size_bytes: [1000, 1000, 1000],
  latency_p50_ms: latency, latency_p90_ms: latency, latency_p99_ms: latency,
  training: { energy_j: training, time_s: training, cost_usd: [null, null, null] },
  each: { energy_j: each, time_s: each, cost_usd: [null, null, null] },
  labels: { energy_j: label, time_s: '', cost_usd: '' },
});
const choices = [
  choice('A', [10, 9, 11], [0.002, 0.0019, 0.0021], [1, 0.9, 1.1], [0.90, 0.88, 0.92]),
  choice('B', [110, 109, 111], [0.001, 0.0009, 0.0011], [5, 4, 6], [0.95, 0.94, 0.96]),
  choice('C', [1, 1, 1], [0.001, 0.001, 0.001], [1, 1, 1], [0.99, 0.99, 0.99], 'modelled'),
];
const none = { quality: null, latency_ms: null, size_bytes: null, each: null };
const wants = (predictions, limits) => ({
  cost: 'energy_j', predictions, percentile: 'p99', better: 'max', limits: { ...none, ...limits },
});
"""


def decided(browser: Any, expression: str) -> Any:
    """What an expression of `choices` and `wants` gives on the page."""
    return browser.execute_script(
        f"{CHOICES}; const {{ decide, breakEven, quantity }} = window.opbench;return {expression};"
    )


def test_the_cheapest_within_the_limits_depends_on_the_number_of_predictions(opened: Any) -> None:
    first = (
        "decide(choices, wants({}, {{}})).ranked"
        ".map(({{ choice, total }}) => [choice.name, total[0]])"
    )
    assert decided(opened, first.format(1000)) == [["A", 12], ["B", 111]]
    assert decided(opened, first.format(200_000)) == [["B", 310], ["A", 410]]
    assert decided(opened, "breakEven(choices[0], choices[1], 'energy_j')") == pytest.approx(1e5)
    assert decided(opened, "breakEven(choices[1], choices[0], 'energy_j')") is None


def test_joules_of_another_kind_are_not_ranked(opened: Any) -> None:
    left = decided(
        opened, "decide(choices, wants(10, {})).left.map((e) => [e.choice.name, ...e.reasons])"
    )
    assert left == [["C", "energy obtained otherwise: modelled"]]


def test_runs_that_are_not_comparable_count_only_if_that_is_wanted(opened: Any) -> None:
    names = (
        "decide(choices.map((one) => ({{ ...one, unfit: '2 of 6 runs not comparable' }})),"
        " {{ ...wants(10, {{}}), unfit: {} }}).ranked.map((one) => one.choice.name)"
    )
    assert decided(opened, names.format("true")) == ["A", "B"]
    assert decided(opened, names.format("false")) == []


def test_a_limit_excludes_and_has_a_price(opened: Any) -> None:
    told = decided(opened, "decide(choices, wants(1000, { quality: 0.93 }))")
    assert [each["choice"]["name"] for each in told["ranked"]] == ["B"]
    (price,) = told["prices"]
    # 111 J instead of 12 J.
    assert (price["limit"], price["choice"]["name"], price["saved"]) == ("quality", "A", 99)
    (reason,) = (each["reasons"] for each in told["left"] if each["choice"]["name"] == "A")
    assert reason == ["quality 0.9, under 0.93"]
    # 0.91 lies within the interval of A, which breaks it by its median.
    told = decided(opened, "decide(choices, wants(1000, { latency_ms: 5.5 }))")
    assert [(each["choice"]["name"], each["near"]) for each in told["ranked"]] == [
        ("A", False),
        ("B", True),
    ]


def test_totals_whose_bounds_overlap_cannot_be_told_apart(opened: Any) -> None:
    apart = "decide(choices, wants({}, {{}})).ranked.map(({{ apart }}) => apart)"
    assert decided(opened, apart.format(1000)) == [None, True]
    # At the break-even both cost 210 J: [199, 221] and [199, 221].
    assert decided(opened, apart.format(100_000)) == [None, False]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        ("5e-5", "s", "50 µs"),
        ("0.05", "ms", "50 µs"),
        ("0.0312", "s", "31.2 ms"),
        ("0.003", "J", "3 mJ"),
        ("0.9999", "ms", "1.00 ms"),
        ("1200", "s", "20 min"),
        ("2e3", "W", "2000 W"),
        ("1234567", "bytes", "1.23 MB"),
        ("20480", "count", "20.5k"),
        ("null", "s", "unknown"),
        ("0.95", "", "0.95"),
        ("3e-5", "", "3e-5"),
        ("0", "J", "0 J"),
        ("0.0000133", "USD", "13.3 µUSD"),
    ],
)
def test_numbers_have_prefixes(opened: Any, value: str, unit: str, text: str) -> None:
    assert decided(opened, f"quantity({value}, '{unit}')") == text


def test_a_decision_is_in_the_address_and_comes_back_from_it(browser: Any, page: Path) -> None:
    browser.get(f"{page.as_uri()}#decide?cost=time_s&n=5000&quality=0.5")
    wait_for(browser, "return document.body.dataset.ready === 'true'")
    form = "document.querySelector('#decide-form [name={}]')"
    assert browser.execute_script(f"return {form.format('predictions')}.value") == "5000"
    assert browser.execute_script(f"return {form.format('quality')}.value") == "0.5"
    assert browser.execute_script("return document.querySelector('.verdict').textContent")
    box = browser.find_element("css selector", "#decide-form [name=predictions]")
    box.clear()
    box.send_keys("70")  # with the keyboard
    assert "n=70" in browser.execute_script("return location.hash")
    verdict = browser.execute_script("return document.querySelector('.verdict').textContent")
    assert "70 predictions" in verdict


def test_limits_that_nothing_meets_are_said_so_with_what_would_help(
    browser: Any, page: Path
) -> None:
    browser.get(f"{page.as_uri()}?again#decide?cost=time_s&n=1&quality=2")
    wait_for(browser, "return document.body.dataset.ready === 'true'")
    text = browser.execute_script("return document.getElementById('decide-answer').textContent")
    assert "No configuration is within all limits." in text
    assert "Without the limit on accuracy: " in text
