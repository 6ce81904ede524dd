// Texts from records are set with textContent, never as HTML, so that none can run as a script.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = new Map(data.runs.map((run) => [run.run_id, run]));
const element = (id) => document.getElementById(id);
// Charts are drawn on a canvas, which knows no style sheet: they get the page's colours here.
const isDark = matchMedia("(prefers-color-scheme: dark)");
function quiet() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axis = { labelColor: soft, titleColor: ink, gridColor: line, domainColor: soft, tickColor: soft };
  const config = { background: "transparent", axis, legend: { labelColor: soft, titleColor: ink, symbolBaseFillColor: soft, symbolBaseStrokeColor: soft }, title: { color: ink }, view: { stroke: line }, text: { color: ink } };
  return { actions: false, renderer: "canvas", config };
}

function addElement(tag, text, parent) {
  const node = document.createElement(tag);
  node.textContent = text;
  parent?.append(node);
  return node;
}

function number(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(+value.toPrecision(4));
}

startDecide(data.decide, element, addElement);

// The libraries are in the page as well, so it needs no network.
const libraries = JSON.parse(element("libraries").textContent);
const library = (text) => import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
await library(libraries.vega);
const { default: DataTable } = await library(libraries.datatables);

// Charts of one group of runs that may be compared. The page holds the data once, and each chart
// refers to it by name.
const notCounted = new Set(["interrupted", "refused", "superseded"]);
async function drawGroup(group) {
  const grid = element("grid");
  grid.replaceChildren();
  if (!group?.charts.length) addElement("p", "No run has two quantities to draw against one another.", grid);
  const runs = data.runs.filter((run) => run.group === group?.title && !notCounted.has(run.outcome));
  const datasets = { runs, places: group?.places ?? [] };
  const drawing = (group?.charts ?? []).map(async ({ title, spec }, place) => {
    const figure = addElement("figure", "", grid);
    addElement("figcaption", title, figure);
    const box = addElement("div", "", figure);
    box.id = `chart-${place}`;
    box.className = "chart";
    const { view } = await window.vegaEmbed(box, { ...spec, datasets }, quiet());
    box.vegaView = view;
    view.addEventListener("click", (event, item) => item?.datum?.run_id && show(item.datum.run_id));
  });
  await Promise.all(drawing);
  grid.dataset.group = group?.title ?? "";
}

const chooser = element("group");
data.groups.forEach(({ title, num }, place) => {
  if (chooser) addElement("option", `${title} (${num} ${num === 1 ? "run" : "runs"})`, chooser).value = String(place);
});
chooser?.addEventListener("change", () => drawGroup(data.groups[Number(chooser.value)]));
const drawn = drawGroup(data.groups[0]);
isDark.addEventListener("change", () => drawGroup(data.groups[Number(chooser?.value ?? 0)]));

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
    await window.vegaEmbed(box, chart, quiet());
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
    addElement("td", number(value), row);
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

element("panel-filter").addEventListener("input", () => fillRecord(shownPairs));
element("close").addEventListener("click", () => {
  element("panel").hidden = true;
  document.body.classList.remove("open");
});
document.querySelectorAll("a.run").forEach((link) => link.addEventListener("click", (event) => {
  event.preventDefault();
  show(link.dataset.run);
}));

// The table.
const columns = data.columns.filter(([name]) => data.runs.some((run) => run[name] !== null && run[name] !== "") && (name !== "group" || chooser));

const escaped = DataTable.render.text().display;
const isNumber = (name) => data.runs.every((run) => run[name] === null || typeof run[name] === "number");

const table = new DataTable("#table", {
  data: data.runs,
  deferRender: true,
  order: [],
  pageLength: 25,
  columns: columns.map(([name, title]) => ({
    data: name,
    title,
    type: isNumber(name) ? "num" : "string",
    render: (value, kind) => kind === "sort" || kind === "type"
      ? value ?? (isNumber(name) ? Infinity : "")
      : escaped(number(value)),
  })),
  createdRow: (row, run) => {
    row.dataset.run = run.run_id;
    row.classList.toggle("incomparable", !run.comparable);
    if (run.error) row.title = run.error;
  },
});
table.on("click", "tbody tr", function () { show(this.dataset.run); });

function mark(runId) {
  document.querySelectorAll("#table tr.chosen").forEach((row) => row.classList.remove("chosen"));
  document.querySelector(`#table tr[data-run="${CSS.escape(runId)}"]`)?.classList.add("chosen");
}

// A filter for every column with few values.
const filters = document.createElement("div");
filters.id = "filters";
element("runs").insertBefore(filters, element("runs").querySelector(".dt-container") ?? element("table"));
columns.forEach(([name, title], place) => {
  const values = [...new Set(data.runs.map((run) => run[name] ?? ""))].sort();
  if (values.length < 2 || values.length > 60 || isNumber(name)) return;
  const label = addElement("label", `${title} `, filters);
  const choice = document.createElement("select");
  choice.dataset.column = name;
  addElement("option", "all", choice).value = "all";
  values.forEach((value, n) => { addElement("option", value === "" ? "none" : value, choice).value = String(n); });
  label.append(choice);
  choice.addEventListener("change", () => {
    const wanted = choice.value === "all" ? null : values[Number(choice.value)];
    table.column(place).search.fixed("chosen", wanted === null ? null : (_, run) => (run[name] ?? "") === wanted).draw();
  });
});

await drawn;
document.body.dataset.ready = "true";
