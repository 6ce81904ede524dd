// The panel of the run that was clicked.

// A chart of some series, each axis in one unit that suits its values.
function lines(series, x, y) {
  const scaled = (values, { unit, title }) => {
    const [factor, units] = data.scales[unit] ?? noScale;
    const [name, size] = unitOf(Math.max(...values.map(Math.abs)) * factor, units);
    return { times: factor / size, title: name ? `${title} (${name})` : title };
  };
  const [across, up] = [scaled(series.map((each) => each.x), x), scaled(series.map((each) => each.y), y)];
  const names = new Set(series.map((each) => each.name));
  const hue = { field: "name", type: "nominal", title: null, legend: names.size > 1 ? { orient: "bottom", columns: 2 } : null };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", height: 130, title: { text: y.heading, fontSize: 11, anchor: "start" },
    data: { values: series.map((each) => ({ name: each.name, x: each.x * across.times, y: each.y * up.times })) },
    mark: { type: "line", point: series.length < 120 ? { size: 12 } : false, clip: true },
    encoding: {
      x: { field: "x", type: "quantitative", title: across.title, axis: { tickCount: 6 } },
      y: { field: "y", type: "quantitative", title: up.title, axis: { tickCount: 5 }, scale: { zero: false } },
      color: hue,
      strokeDash: { ...hue, legend: null },
    },
  };
}

async function draw(id, charts) {
  const place = element(id);
  place.replaceChildren();
  for (const chart of charts) {
    const box = addElement("div", "", place);
    box.className = "small-chart";
    await window.vegaEmbed(box, chart, embedOptions());
  }
}

const known = ({ y }) => y !== null && y !== undefined;

function curveCharts(curve) {
  if (!curve.time_s) return [];
  const series = (names) => names.filter((name) => curve[name]).flatMap((name) =>
    curve.time_s.map((x, n) => ({ x, y: curve[name][n], name: name.replace(/^quality\./, "").replaceAll("_", " ") }))).filter(known);
  const quality = Object.keys(curve).filter((name) => name.startsWith("quality.") && name !== "quality.loss");
  const charts = [
    [{ heading: "Quality on the validation split", title: quality.map((name) => name.slice(8).replaceAll("_", " ")).join(", ") }, series(quality)],
    [{ heading: "Loss", title: "loss" }, series(["train_loss", "quality.loss"])],
    [{ heading: "Energy so far, all components", title: "energy", unit: "J" }, series(["energy_total_j"])],
  ];
  return charts.filter(([, values]) => values.length).map(([y, values]) => lines(values, { title: "time", unit: "s" }, y));
}

function windowCharts(windows) {
  if (!windows.first) return [];
  const series = (names) => names.flatMap((name) => windows.first.map((x, n) => ({ x, y: windows[name][n], name: name.replaceAll("_", " ") }))).filter(known);
  const charts = [
    [{ heading: "Accuracy of the windows", title: "accuracy" }, series(["accuracy", "known_accuracy"])],
    [{ heading: "Energy of retrainings", title: "energy", unit: "J" }, series(["retrain_j"])],
  ];
  return charts.filter(([, values]) => values.length).map(([y, values]) => lines(values, { title: "predictions served", unit: "count" }, y));
}

function telemetryCharts(telemetry) {
  const kinds = {
    busy_frac: { heading: "Telemetry: busy", title: "busy (fraction)" },
    active_frac: { heading: "Telemetry: parts of the GPU", title: "active (fraction)" },
    power_w: { heading: "Telemetry: power", title: "power", unit: "W" },
    rss_bytes: { heading: "Telemetry: memory", title: "memory", unit: "bytes" },
  };
  return Object.entries(kinds).map(([ending, y]) => {
    const values = telemetry.filter((each) => each.name.endsWith(ending)).flatMap((each) =>
      each.t_s.map((x, n) => ({ x, y: each.value[n], name: each.name.replace(/_(busy_frac|active_frac|power_w|rss_bytes)$/, "").replaceAll("_", " ") }))).filter(known);
    return values.length > 1 ? lines(values, { title: "time since the clock's start", unit: "s" }, y) : null;
  }).filter(Boolean);
}

// A table whose rows have bars: name, number, and more texts.
function bars(id, heading, rows) {
  const place = element(id);
  place.replaceChildren();
  if (!rows.length) return;
  addElement("h3", heading, place);
  const table = addElement("table", "", place);
  table.className = "plain bars";
  const most = Math.max(...rows.map(([, value]) => value ?? 0)) || 1;
  for (const [name, value, ...texts] of rows) {
    const row = table.insertRow();
    addElement("td", name, row);
    const bar = addElement("span", "", addElement("td", "", row));
    bar.style.width = `${Math.max(1, 100 * (value ?? 0) / most)}%`;
    for (const text of texts) addElement("td", text, row);
  }
}

function showPhases(phases) {
  bars("panel-phases", "Phases", phases.map(([name, seconds, joules]) =>
    [name, seconds, quantity(seconds, "s"), joules === null ? "" : quantity(joules, "J")]));
}

function showEnergy(components, label) {
  bars("panel-energy", "Energy by component, on the clock", components.map(([name, joules, how]) => [name, joules, quantity(joules, "J"), how ?? label]));
}

const isRepeat = (one, other) => ["configuration", "group", "host", "command"].every((name) => one[name] === other[name]);

// The page has them once for each run in detail, and repeats have the same.
function neighboursOf(run) {
  const known = data.runs.find((each) => isRepeat(each, run) && each.run_id in data.neighbours);
  return known && data.neighbours[known.run_id];
}

function showNeighbours(near) {
  const place = element("panel-neighbours");
  place.replaceChildren();
  if (!near?.length) return;
  addElement("h3", "Nearest configurations", place);
  addElement("p", "What they have instead. Time, energy and quality are medians of their runs, against those of this configuration; a run that missed counts with what it spent.", place).className = "hint";
  const table = addElement("table", "", place);
  table.className = "plain";
  const own = medians(shownRun);
  for (const { run_id, keys, more } of near) {
    const row = table.insertRow();
    const words = keys.map(([key, value, other]) => `${key}: ${value ?? "none"} → ${other ?? "none"}`);
    if (more) words.push(`and ${more} more`);
    const link = addElement("a", words.join("; ") || "no key of the configuration", addElement("td", "", row));
    link.href = "#";
    link.addEventListener("click", (event) => { event.preventDefault(); show(run_id); });
    addElement("td", compared(own, medians(byId.get(run_id))), row);
  }
}

// Medians over the runs of the configuration of a run.
function medians(run) {
  const peers = data.runs.filter((each) => isRepeat(each, run) && !notCounted.has(each.outcome));
  const middle = (name) => {
    const values = peers.map((each) => each[name]).filter((value) => value !== null).sort((one, other) => one - other);
    if (!values.length) return null;
    return (values[Math.floor((values.length - 1) / 2)] + values[Math.ceil((values.length - 1) / 2)]) / 2;
  };
  return { time_s: middle("time_s"), energy_j: middle("energy_j"), latency_p90_ms: middle("latency_p90_ms"), quality: middle("quality"), labels: new Set(peers.map(({ label }) => label)) };
}

function compared(own, other) {
  const ratio = (name, title) => own[name] > 0 && other[name] !== null ? `${digits(+(other[name] / own[name]).toPrecision(3))} times the ${title}` : "";
  // Joules that were obtained in two ways are not compared.
  const isOneKind = new Set([...own.labels, ...other.labels]).size === 1;
  const words = own.time_s === null ? [ratio("latency_p90_ms", "latency p90")] : [ratio("time_s", "time"), isOneKind ? ratio("energy_j", "energy") : ""];
  if (other.quality !== null) words.push(`test quality ${short(other.quality, 4)} instead of ${own.quality === null ? "unknown" : short(own.quality, 4)}`);
  return words.filter(Boolean).join("; ");
}

function showLog(log) {
  const place = element("panel-log");
  place.replaceChildren();
  if (!log.length) return;
  addElement("h3", "End of the log", place);
  addElement("pre", log.join("\n"), place);
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

// Charts are as wide as their place, which they look at when the window changes.
function setOpen(isOpen) {
  element("panel").hidden = !isOpen;
  document.body.classList.toggle("open", isOpen);
  window.dispatchEvent(new Event("resize"));
}

const noDetail = { curve: {}, windows: {}, phases: [], components: [], telemetry: [], log: [], record: [] };
let shownRun = null;
let shownPairs = [];
async function show(runId) {
  const run = byId.get(runId);
  if (!run) return;
  shownRun = run;
  const detail = data.details[runId] ?? noDetail;
  setOpen(true);
  element("panel").scrollTop = 0;
  element("panel-title").textContent = `${run.configuration}, seed ${run.seed}`;
  const incomparable = run.comparable ? "" : `; not comparable: ${run.flags ?? "not recorded"}`;
  element("panel-facts").textContent = `${run.run_id}: ${run.outcome}${run.error ? ` (${run.error})` : ""}${incomparable}; ${run.folder}`;
  element("panel-missing").hidden = runId in data.details;
  shownPairs = runId in data.details ? detail.record : columns.filter(({ name }) => run[name] !== null).map(({ name, title, unit, size }) => [title, cell(run[name], unit, size)]);
  fillRecord(shownPairs);
  showPhases(detail.phases);
  showEnergy(detail.components, run.label ?? "");
  showNeighbours(neighboursOf(run));
  showLog(detail.log);
  mark(runId);
  await draw("panel-curve", [...curveCharts(detail.curve), ...windowCharts(detail.windows)]);
  await draw("panel-telemetry", telemetryCharts(detail.telemetry));
  element("panel").dataset.run = runId;
}
