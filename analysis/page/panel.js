// The panel of the run that was clicked.
function lines(x, y, series, title) {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: 330, height: 130, title: { text: title, fontSize: 11, anchor: "start" },
    data: { values: series },
    mark: { type: "line", point: series.length < 120 ? { size: 12 } : false, clip: true },
    encoding: {
      x: { field: "x", type: "quantitative", title: x },
      y: { field: "y", type: "quantitative", title: y, scale: { zero: false } },
      color: { field: "name", type: "nominal", title: null, legend: { orient: "bottom", columns: 2 } },
      strokeDash: { field: "name", type: "nominal" },
    },
  };
}

async function draw(id, charts) {
  const place = element(id);
  place.replaceChildren();
  for (const chart of charts) {
    const box = document.createElement("div");
    place.append(box);
    await window.vegaEmbed(box, chart, embedOptions());
  }
}

function curveCharts(curve) {
  if (!curve.time_s) return [];
  const series = (names) => names.filter((name) => curve[name]).flatMap((name) =>
    curve.time_s.map((x, n) => ({ x, y: curve[name][n], name: name.replace("energy_total_j", "all components").replace(/^quality\./, "").replaceAll("_", " ") })));
  const quality = Object.keys(curve).filter((name) => name.startsWith("quality.") && name !== "quality.loss");
  const charts = [["quality", series(quality)], ["loss", series(["train_loss", "quality.loss"])], ["energy (J)", series(["energy_total_j"])]];
  return charts.filter(([, values]) => values.length).map(([title, values]) => lines("time (s)", title, values, title));
}

function windowCharts(windows) {
  if (!windows.first) return [];
  const series = (names) => names.flatMap((name) => windows.first.map((x, n) => ({ x, y: windows[name][n], name: name.replaceAll("_", " ") })).filter(({ y }) => y !== null));
  const charts = [["accuracy", series(["accuracy", "known_accuracy"])], ["energy of retrainings (J)", series(["retrain_j"])]];
  return charts.filter(([, values]) => values.length).map(([title, values]) => lines("predictions served", title, values, title));
}

function telemetryCharts(telemetry) {
  const kinds = { busy_frac: "busy (fraction)", power_w: "power (W)", rss_bytes: "memory (bytes)" };
  return Object.entries(kinds).map(([ending, title]) => {
    const values = telemetry.filter((each) => each.name.endsWith(ending)).flatMap((each) =>
      each.t_s.map((x, n) => ({ x, y: each.value[n], name: each.name })));
    return values.length ? lines("time since the clock's start (s)", title, values, title) : null;
  }).filter(Boolean);
}

function fillRecord(pairs) {
  const wanted = element("panel-filter").value.toLowerCase();
  const table = element("panel-record");
  table.replaceChildren();
  for (const [name, value] of pairs) {
    if (wanted && !`${name} ${value}`.toLowerCase().includes(wanted)) continue;
    const row = table.insertRow();
    addElement("td", name, row);
    addElement("td", quantity(value), row);
  }
}

let shownPairs = [];
async function show(runId) {
  const run = byId.get(runId);
  if (!run) return;
  const detail = data.details[runId];
  element("panel").hidden = false;
  document.body.classList.add("open");
  element("panel-title").textContent = `${run.configuration}, seed ${run.seed}`;
  const incomparable = run.comparable ? "" : `; not comparable: ${run.flags ?? "not recorded"}`;
  element("panel-facts").textContent = `${run.run_id}: ${run.outcome}${run.error ? ` (${run.error})` : ""}${incomparable}; ${run.folder}`;
  element("panel-missing").hidden = Boolean(detail);
  shownPairs = detail ? detail.record : [];
  fillRecord(shownPairs);
  mark(runId);
  await draw("panel-curve", detail ? [...curveCharts(detail.curve), ...windowCharts(detail.windows)] : []);
  await draw("panel-telemetry", detail ? telemetryCharts(detail.telemetry) : []);
  element("panel").dataset.run = runId;
}

