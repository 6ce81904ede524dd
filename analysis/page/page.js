// Texts from records are set with textContent, never as HTML, so that none can run as a script.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = new Map(data.runs.map((run) => [run.run_id, run]));
const element = (id) => document.getElementById(id);
// Charts are drawn on a canvas, which knows no style sheet: they get the page's colours here.
const isDark = matchMedia("(prefers-color-scheme: dark)");
const showScheme = () => document.documentElement.classList.toggle("dark", isDark.matches); // for DataTables
showScheme();
isDark.addEventListener("change", showScheme);
const isNarrow = matchMedia("(max-width: 700px)");
function embedOptions() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axis = { labelColor: soft, titleColor: ink, gridColor: line, domainColor: soft, tickColor: soft, titlePadding: 9 };
  const config = { background: "transparent", customFormatTypes: true, axis, legend: { labelColor: soft, titleColor: ink, symbolBaseFillColor: soft, symbolBaseStrokeColor: soft }, title: { color: ink }, view: { stroke: line }, text: { color: ink }, rule: { color: soft } };
  if (isNarrow.matches) config.legend = { ...config.legend, orient: "bottom", columns: 2, layout: { bottom: { anchor: "start", direction: "vertical", margin: 6 } } };
  return { actions: false, renderer: "canvas", config, expressionFunctions: { quantity, tick } };
}

function addElement(tag, text, parent) {
  const node = document.createElement(tag);
  node.textContent = text;
  parent?.append(node);
  return node;
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

// Where each run crosses each axis of the last chart, from 0 to 1. A missing value has no row, so the
// line skips that axis. More lines than this are a blot, and slow.
const mostLines = 500;
const axisWidth = 75; // pixels that the title of an axis needs
function crossings(axes, runs) {
  const step = Math.max(1, runs.length / mostLines);
  const chosen = Array.from({ length: Math.ceil(runs.length / step) }, (_, n) => runs[Math.floor(n * step)]);
  return axes.flatMap(({ name, title, unit, low, high, log }) => chosen.filter((run) => run[name] !== null).map((run) => ({
    run_id: run.run_id,
    configuration: run.configuration,
    outcome: run.outcome,
    health: run.comparable ? "comparable" : "not comparable",
    dimension: title,
    place: log ? Math.log(run[name] / low) / Math.log(high / low) : (run[name] - low) / (high - low),
    value: quantity(run[name], unit),
    low: quantity(low, unit),
    high: quantity(high, unit),
  })));
}

function chartBox(grid, title, isWide = false) {
  const figure = addElement("figure", "", grid);
  figure.classList.toggle("wide", isWide);
  addElement("figcaption", title, figure);
  const box = addElement("div", "", figure);
  box.className = "chart";
  return box;
}

async function drawGroup(group) {
  const grid = element("grid");
  grid.replaceChildren();
  if (!group?.charts.length) addElement("p", "No run has two quantities to draw against one another.", grid);
  const runs = data.runs.filter((run) => run.group === group?.title && !notCounted.has(run.outcome));
  const datasets = { runs, places: crossings(group?.axes ?? [], runs) };
  await Promise.all((group?.charts ?? []).map(async ({ title, spec }, place) => {
    const box = chartBox(grid, title, Boolean(spec.layer));
    if (spec.layer) box.style.minWidth = `${axisWidth * group.axes.length + 60}px`; // scrolls inside
    box.id = `chart-${place}`;
    const { view } = await window.vegaEmbed(box, { ...spec, datasets }, embedOptions());
    box.vegaView = view;
    view.addEventListener("click", (event, item) => item?.datum?.run_id && show(item.datum.run_id));
  }));
  grid.dataset.group = group?.title ?? "";
}

const chooser = element("group");
data.groups.forEach(({ title, num }, place) => {
  if (chooser) addElement("option", `${title} (${num} ${num === 1 ? "run" : "runs"})`, chooser).value = String(place);
});
chooser?.addEventListener("change", () => drawGroup(data.groups[Number(chooser.value)]));

async function drawHistory() {
  const grid = element("history-grid");
  grid?.replaceChildren();
  await Promise.all(data.history.map(async ({ title, spec }) => {
    const box = chartBox(grid, title);
    box.vegaView = (await window.vegaEmbed(box, spec, embedOptions())).view;
  }));
}

const drawAll = () => Promise.all([drawGroup(data.groups[Number(chooser?.value ?? 0)]), drawHistory()]);
const drawn = drawAll();
for (const query of [isDark, isNarrow]) query.addEventListener("change", drawAll);

element("panel-filter").addEventListener("input", () => fillRecord(shownPairs));
element("close").addEventListener("click", () => setOpen(false));
document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && !element("panel").hidden) setOpen(false); });
document.querySelectorAll("a.run").forEach((link) => link.addEventListener("click", (event) => {
  event.preventDefault();
  show(link.dataset.run);
}));

// The table.
const columns = data.columns.filter(({ name }) => data.runs.some((run) => run[name] !== null && run[name] !== "") && (name !== "group" || chooser));

// In the unit of the column's title, or with a unit of its own.
function cell(value, unit, size) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number" || (!unit && Number.isInteger(value))) return String(value);
  return size === null ? quantity(value, unit) : digits(+(value / size).toPrecision(12));
}

const escaped = DataTable.render.text().display;
const isNumber = (name) => data.runs.every((run) => run[name] === null || typeof run[name] === "number");

const table = new DataTable("#table", {
  data: data.runs,
  deferRender: true,
  order: [],
  pageLength: 25,
  columns: columns.map(({ name, title, unit, size }) => ({
    data: name,
    title,
    type: isNumber(name) ? "num" : "string",
    render: (value, kind) => kind === "sort" || kind === "type"
      ? value ?? (isNumber(name) ? Infinity : "")
      : escaped(cell(value, unit, size)),
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
columns.forEach(({ name, title }, place) => {
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
