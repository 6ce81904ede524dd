// Numbers with units. The scales are those of bench/core/scales.py: for each unit of the catalogue
// how many base units it is, and units with a prefix, from the smallest up: name, size in base
// units, and the least quantity it is used for.

const noScale = [1, [["", 1, 0]]];

function unitOf(base, units) {
  if (base === 0) return units.find(([, size]) => size === 1);
  const size = Math.abs(base) * (1 + 5e-4); // 999.9 ms is 1.00 s
  return units.findLast(([, , least]) => size >= least) ?? units[0];
}

// Three significant digits, and whole numbers in full, as in the terminal.
function digits(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 999.5) return value.toFixed(0);
  if (value === Math.round(value)) return String(value);
  return Math.abs(value) < 1e-4 ? value.toExponential(2) : value.toPrecision(3);
}

// At most so many digits, and no zeros at the end: 0.95, 3e-5.
function short(value, most) {
  if (Number.isInteger(value)) return String(value);
  const number = +value.toPrecision(most);
  return number !== 0 && Math.abs(number) < 1e-3 ? number.toExponential() : String(number);
}

function withUnit(text, name) {
  return name.length === 1 && "kMG".includes(name) ? text + name : [text, name].filter(Boolean).join(" ");
}

// A quantity in a unit of the catalogue, such as 50.0 µs of 0.05 ms; any other number as it is.
function quantity(value, unit = "") {
  if (value === null || value === undefined) return "unknown";
  if (typeof value !== "number") return String(value);
  if (!(unit in data.scales)) return short(value, 4);
  const [factor, units] = data.scales[unit];
  const [name, size] = unitOf(value * factor, units);
  return withUnit(digits(+(value * factor / size).toPrecision(12)), name);
}

// A tick of an axis: no more digits than it has. A linear axis has one prefix, that of its largest
// value (`of`).
function tick(value, kind) {
  const { unit, of } = typeof kind === "string" ? { unit: kind } : kind ?? {};
  const [factor, units] = data.scales[unit] ?? noScale;
  const [name, size] = unitOf((of ?? value) * factor, units);
  return withUnit(short(value * factor / size, 5), name);
}
