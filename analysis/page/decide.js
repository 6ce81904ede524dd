// Chooses among configurations by limits. Pure functions first, which a test calls in a browser; the
// form that uses them follows.

// What a limit is set on: whether the value must be at most or at least it, and its unit.
const limitKinds = {
  quality: { title: "quality", unit: "" },
  latency_ms: { title: "latency", most: true, unit: "ms" },
  size_bytes: { title: "size", most: true, unit: "bytes" },
  each: { title: "cost of a prediction", most: true },
};
const costKinds = {
  cost_usd: { title: "money", unit: "USD" },
  energy_j: { title: "energy", unit: "J" },
  time_s: { title: "time", unit: "s" },
};

const valueOf = (choice, limit, wants) =>
  limit === "latency_ms" ? choice[`latency_${wants.percentile}_ms`]
    : limit === "each" ? choice.each[wants.cost]
      : choice[limit];

// Whether less is better for what a limit is set on.
const isMost = (limit, wants) => limitKinds[limit].most ?? wants.better === "min";

// Why a choice breaks a limit: "" if it does not, and whether its interval includes the limit.
function breaks(choice, limit, wants) {
  const bound = wants.limits[limit];
  if (bound === null || bound === undefined) return { reason: "", near: false };
  const [value, low, high] = valueOf(choice, limit, wants);
  const { title, unit } = limitKinds[limit];
  const shown = (each) => quantity(each, limit === "each" ? costKinds[wants.cost].unit : unit);
  if (value === null) return { reason: `${title} not known`, near: false };
  const most = isMost(limit, wants);
  const isBroken = most ? value > bound : value < bound;
  const near = low !== null && high !== null && low < bound && bound < high;
  return { reason: isBroken ? `${title} ${shown(value)}, ${most ? "over" : "under"} ${shown(bound)}` : "", near };
}

// What a choice costs with all its predictions, with the bounds of both parts added.
function totalOf(choice, wants) {
  const training = choice.training[wants.cost];
  const each = choice.each[wants.cost];
  const sum = (place) => {
    const [first, second] = [training[place], each[place]];
    if (first === null || (second === null && wants.predictions > 0)) return null;
    return first + wants.predictions * (second ?? 0);
  };
  return [sum(0), sum(1), sum(2)];
}

// Whether two totals can be told apart: null if there are too few runs to tell.
function areApart([, low, high], [, otherLow, otherHigh]) {
  if ([low, high, otherLow, otherHigh].includes(null)) return null;
  return high < otherLow || otherHigh < low;
}

// From how many predictions on the second costs less than the first; null if it never does.
function breakEven(first, second, cost) {
  const [trainA, trainB] = [first.training[cost][0], second.training[cost][0]];
  const [eachA, eachB] = [first.each[cost][0], second.each[cost][0]];
  if ([trainA, trainB, eachA, eachB].includes(null) || eachA <= eachB) return null;
  return Math.max(0, (trainB - trainA) / (eachA - eachB));
}

// The cheapest choices within all limits, the rest with the reason, and what each limit costs.
//   wants: cost (of costKinds), predictions, percentile (p50, p90, p99), better (of the quality: min
//   or max), unfit (whether runs that are not comparable count), limits (by the names of limitKinds;
//   null for none).
function decide(choices, wants) {
  const label = commonLabel(choices, wants);
  const left = [];
  const fit = [];
  for (const choice of choices) {
    const total = totalOf(choice, wants);
    const found = Object.keys(limitKinds).map((limit) => breaks(choice, limit, wants));
    const reasons = found.map(({ reason }) => reason).filter(Boolean);
    if (choice.unfit && !wants.unfit) reasons.push(choice.unfit);
    if (choice.labels[wants.cost] !== label) reasons.push(`${costKinds[wants.cost].title} obtained otherwise: ${choice.labels[wants.cost] || "not known"}`);
    else if (total[0] === null) reasons.push(choice.training[wants.cost][0] === null ? "its training missed the target, or was not measured" : "the cost of a prediction is not known");
    if (reasons.length) left.push({ choice, reasons });
    else fit.push({ choice, total, near: found.some(({ near }) => near) });
  }
  fit.sort((one, other) => one.total[0] - other.total[0]);
  const ranked = fit.map((each) => ({ ...each, apart: each === fit[0] ? null : areApart(fit[0].total, each.total) }));
  return { label, ranked, left, prices: pricesOf(choices, wants, ranked[0]) };
}

// How joules, or money, of most choices were obtained; only these are ranked.
function commonLabel(choices, wants) {
  const counts = new Map();
  for (const { labels } of choices) counts.set(labels[wants.cost], (counts.get(labels[wants.cost]) ?? 0) + 1);
  return [...counts].sort(([one, a], [other, b]) => b - a || one.localeCompare(other))[0]?.[0] ?? "";
}

// What each limit costs: how much less the best choice without it would cost.
function pricesOf(choices, wants, best) {
  return Object.keys(wants.limits).filter((limit) => wants.limits[limit] !== null && wants.limits[limit] !== undefined).map((limit) => {
    const others = { ...wants, limits: { ...wants.limits, [limit]: null } };
    const label = commonLabel(choices, wants);
    const without = choices
      .filter((choice) => (wants.unfit || !choice.unfit) && choice.labels[wants.cost] === label && Object.keys(limitKinds).every((each) => !breaks(choice, each, others).reason))
      .map((choice) => ({ choice, total: totalOf(choice, others) }))
      .filter(({ total }) => total[0] !== null)
      .sort((one, other) => one.total[0] - other.total[0])[0];
    const saved = best && without ? best.total[0] - without.total[0] : null;
    return { limit, saved, choice: without?.choice ?? null, needed: without ? valueOf(without.choice, limit, wants)[0] : null };
  });
}

// The form. Its state is in the address, so that a decision can be sent to somebody.
const sliderSteps = 200;

function startDecide(groups, elementOf, add) {
  const section = elementOf("decide");
  if (!groups.length) return;
  section.hidden = false;
  const form = elementOf("decide-form");
  const answer = elementOf("decide-answer");
  const state = { group: 0, cost: null, predictions: 1e6, percentile: "p99", unfit: false, limits: {} };

  const group = () => groups[state.group];
  const known = (limit) => group().choices.map((choice) => valueOf(choice, limit, wants())[0]).filter((value) => value !== null);
  const wants = () => ({ cost: state.cost, predictions: state.predictions, percentile: state.percentile, better: group().better, unfit: state.unfit, limits: state.limits });

  function field(title, ...nodes) {
    const label = add("label", title, form);
    label.className = "field";
    label.append(...nodes);
    return label;
  }

  function choice(name, options, value, onChange) {
    const select = document.createElement("select");
    select.name = name;
    for (const [key, text] of options) add("option", text, select).value = key;
    select.value = String(value);
    select.addEventListener("change", () => { onChange(select.value); build(); });
    return select;
  }

  // A box for a number, and a slider over the values that there are, on a log scale where they span
  // a factor of four.
  function limit(name) {
    const values = known(name);
    if (!values.length) return;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const most = isMost(name, wants());
    const spread = low > 0 && high / low > 4;
    const at = (share) => spread ? low * (high / low) ** share : low + (high - low) * share;
    const shareOf = (value) => spread ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    const { title, unit } = limitKinds[name];
    const shownUnit = name === "each" ? costKinds[state.cost].unit : unit;
    const box = document.createElement("input");
    Object.assign(box, { type: "number", step: "any", name, placeholder: "any" });
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: sliderSteps, step: 1 });
    slider.setAttribute("aria-label", `${title}, slider`);
    const text = document.createElement("output");
    const show = () => {
      const bound = state.limits[name] ?? null;
      box.value = bound === null ? "" : String(+bound.toPrecision(4));
      const share = bound === null || high === low ? (most ? 1 : 0) : Math.min(1, Math.max(0, shareOf(bound)));
      slider.value = String(Math.round(sliderSteps * share));
      text.textContent = bound === null ? "any" : quantity(bound, shownUnit);
    };
    const set = (bound) => { state.limits[name] = bound; show(); update(); };
    box.addEventListener("input", () => {
      state.limits[name] = box.value === "" ? null : Number(box.value);
      text.textContent = box.value === "" ? "any" : quantity(Number(box.value), shownUnit);
      update();
    });
    slider.addEventListener("input", () => {
      const share = Number(slider.value) / sliderSteps;
      const isEnd = most ? share === 1 : share === 0;
      // Rounded away from the values, so that a limit at a value still admits it.
      set(isEnd ? null : Number((at(share) * (most ? 1.0005 : 0.9995)).toPrecision(4)));
    });
    const metric = name === "quality" ? (group().metric ?? title) : title;
    const boxUnit = { latency_ms: " (ms)", size_bytes: " (bytes)", each: ` (${costKinds[state.cost].unit})` }[name] ?? "";
    field(`${metric} ${most ? "at most" : "at least"}${boxUnit}`, box, slider, text);
    show();
  }

  function build() {
    form.replaceChildren();
    const priced = Object.keys(costKinds).filter((cost) => group().choices.some((each) => totalOf(each, { cost, predictions: 0 })[0] !== null));
    const costs = priced.length ? priced : ["time_s"]; // where all missed, none is known
    // The first by which anything can be chosen: the money of a prediction is often not known.
    const answers = (unfit) => costs.find((cost) => decide(group().choices, { ...wants(), cost, unfit }).ranked.length > 0);
    if (!costs.includes(state.cost)) state.cost = answers(state.unfit) ?? answers(true) ?? costs[0];
    if (groups.length > 1) field("choose from", choice("group", groups.map(({ title }, place) => [String(place), title]), state.group, (value) => { state.group = Number(value); state.limits = {}; }));
    field("cheapest in", choice("cost", costs.map((cost) => [cost, costKinds[cost].title]), state.cost, (value) => { state.cost = value; state.limits.each = null; }));
    const box = document.createElement("input");
    Object.assign(box, { type: "number", min: 0, step: "any", name: "predictions", value: String(state.predictions) });
    box.addEventListener("input", () => { state.predictions = Math.max(0, Number(box.value) || 0); update(); });
    field("predictions over its life", box);
    limit("quality");
    if (known("latency_ms").length) field("latency is", choice("percentile", ["p50", "p90", "p99"].map((each) => [each, each]), state.percentile, (value) => { state.percentile = value; }));
    limit("latency_ms");
    limit("size_bytes");
    limit("each");
    if (group().choices.some(({ unfit }) => unfit)) {
      const tick = document.createElement("input");
      Object.assign(tick, { type: "checkbox", name: "unfit", checked: state.unfit });
      tick.addEventListener("change", () => { state.unfit = tick.checked; update(); });
      field("also runs that are not comparable", tick);
    }
    update();
  }

  function update() {
    const result = decide(group().choices, wants());
    answer.replaceChildren();
    describe(result);
    const set = { group: state.group || null, cost: state.cost, n: state.predictions, percentile: state.percentile === "p99" ? null : state.percentile, unfit: state.unfit ? 1 : null, ...state.limits };
    const parts = Object.entries(set).filter(([, value]) => value !== null && value !== undefined);
    const text = `#decide?${new URLSearchParams(parts.map(([name, value]) => [name, String(value)]))}`;
    if (touched && location.hash !== text) history.replaceState(null, "", text);
    answer.dataset.ready = String(Number(answer.dataset.ready ?? 0) + 1);
  }

  function range([value, low, high], unit) {
    const bounds = low === null || high === null ? "" : ` (${quantity(low, unit)} to ${quantity(high, unit)})`;
    return `${quantity(value, unit)}${bounds}`;
  }

  const asMuch = (ratio) => ratio < 2 ? `+${digits(100 * (ratio - 1))}%` : `${digits(ratio)} times as much`;

  function describe({ label, ranked, left, prices }) {
    const { unit, title } = costKinds[state.cost];
    const [best] = ranked;
    if (label) add("p", `${title}: ${label}${label.includes("modelled") || label.includes("assumed") ? "; an estimate, which cannot rank configurations" : ""}.`, answer).className = "hint";
    const isLimited = Object.values(state.limits).some((bound) => bound !== null && bound !== undefined);
    const isOnlyUnfit = left.some(({ choice: each, reasons }) => reasons.length === 1 && reasons[0] === each.unfit);
    const hint = isOnlyUnfit ? " Runs that are not comparable may have been disturbed; the box above lets them count." : "";
    if (!best) add("p", (isLimited ? "No configuration is within all limits." : "No configuration can be chosen.") + hint, answer).className = "verdict";
    else {
      add("p", `${best.choice.name}: ${range(best.total, unit)} for training and ${state.predictions.toLocaleString("en")} predictions.`, answer).className = "verdict";
      if (best.choice.how) add("p", `It is served with ${best.choice.how}.`, answer);
      const table = add("table", "", answer);
      table.className = "plain stacked";
      const head = add("tr", "", add("thead", "", table));
      const isServed = ranked.some(({ choice: each }) => each.how);
      const headings = ["configuration", ...(isServed ? ["served with"] : []), `${title}, altogether`, "against the cheapest", group().metric ?? "quality", `latency ${state.percentile}`, "size", "training", "each", "runs"];
      for (const text of headings) add("th", text, head);
      const body = add("tbody", "", table);
      for (const { choice: each, total, apart, near } of ranked.slice(0, 3)) {
        const row = add("tr", "", body);
        const from = each === best.choice ? null : breakEven(best.choice, each, state.cost);
        const words = each === best.choice ? "cheapest" : [
          best.total[0] ? asMuch(total[0] / best.total[0]) : "",
          apart === null ? "too few runs to tell apart" : apart ? "" : "cannot tell apart",
          from === null ? "never cheaper" : `cheaper from ${Math.ceil(from).toLocaleString("en")} predictions on`,
        ].filter(Boolean).join("; ");
        const cells = [each.name + (near ? " (a limit lies within its interval)" : "") + (each.unfit ? ` (${each.unfit})` : ""), ...(isServed ? [each.how] : []), range(total, unit), words, range(each.quality), range(each[`latency_${state.percentile}_ms`], "ms"), quantity(each.size_bytes[0], "bytes"), range(each.training[state.cost], unit), range(each.each[state.cost], unit), String(each.num)];
        cells.forEach((text, place) => { add("td", text, row).dataset.label = headings[place]; });
      }
    }
    if (prices.length) {
      const list = add("ul", "", answer);
      for (const { limit: name, saved, choice: other, needed } of prices) {
        const { title: what, unit: own } = limitKinds[name];
        const shown = quantity(needed, name === "each" ? unit : own);
        const named = name === "quality" ? (group().metric ?? what) : what;
        const text = !best
          ? (other ? `Without the limit on ${named}: ${other.name}, which has ${shown}.` : `Without the limit on ${named} alone, there is still none.`)
          : saved > 0 ? `The limit on ${named} costs ${quantity(saved, unit)}: without it, ${other.name} (${shown}).` : `The limit on ${named} costs nothing.`;
        add("li", text, list);
      }
    }
    const out = [...left.map(({ choice: each, reasons }) => [each.name, reasons.join("; ")]), ...group().left_out.map(({ name, reason }) => [name, reason])];
    if (out.length) {
      const details = add("details", "", answer);
      details.open = !best;
      add("summary", `Not chosen: ${out.length}`, details);
      const list = add("ul", "", details);
      for (const [name, reason] of out) add("li", `${name}: ${reason}`, list);
    }
  }

  function readAddress() {
    const [place, query] = location.hash.slice(1).split("?");
    if (place !== "decide" || !query) return false;
    const given = new URLSearchParams(query);
    const numberOf = (name) => given.has(name) && Number.isFinite(Number(given.get(name))) ? Number(given.get(name)) : null;
    state.group = Math.min(groups.length - 1, Math.max(0, Math.trunc(numberOf("group") ?? 0)));
    state.cost = given.get("cost") in costKinds ? given.get("cost") : null;
    state.predictions = Math.max(0, numberOf("n") ?? 1e6);
    state.percentile = ["p50", "p90", "p99"].includes(given.get("percentile")) ? given.get("percentile") : "p99";
    state.unfit = given.get("unfit") === "1";
    state.limits = Object.fromEntries(Object.keys(limitKinds).map((name) => [name, numberOf(name)]));
    return true;
  }

  let touched = readAddress();
  build();
  // Before the fields themselves react, and write the address.
  for (const kind of ["input", "change"]) form.addEventListener(kind, () => { touched = true; }, true);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => { if (readAddress()) build(); });
}

window.opbench = { decide, breakEven, quantity };
