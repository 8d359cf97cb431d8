// Units of an explanation run. Everything from the data is set with textContent: a token can never become markup.
(() => {
  const data = JSON.parse(document.getElementById("explained-units").textContent);
  const list = document.getElementById("explained-units-list");
  const controls = document.getElementById("explained-units-controls");
  controls.className = "unit-controls";
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const line = (tokens, levels, colour) => {
    const row = make("div", "window");
    tokens.forEach((token, i) => {
      const span = make("span", "token", token);
      const level = "0123456789a".indexOf(levels[i]);
      if (level > 0) span.style.background = `rgba(${colour}, ${level / 11})`;
      span.title = level < 0 ? "no prediction" : String(level);
      row.append(span);
    });
    return row;
  };
  const address = (unit) => "unit-" + unit.name.toLowerCase().replace(/[^a-z0-9]+/g, "-") + "-" + data.units.indexOf(unit);
  const body = (unit) => {
    const box = make("div");
    const link = make("a", "", "link to this unit");
    link.href = "#" + address(unit);
    box.append(make("p", "words", unit.text), link);
    box.append(make("p", "", `largest activation on the explain documents ${unit.scale.toPrecision(4)}, sign ${unit.sign}; ` +
      `other units' explanations score ${unit.null}`));
    const most = Math.max(...unit.histogram, 1);
    const bars = make("div", "bars");
    unit.histogram.forEach((count, level) => {
      const bar = make("div");
      bar.style.height = `${60 * Math.log1p(count) / Math.log1p(most)}px`;
      bar.title = `level ${level}: ${count} tokens`;
      bars.append(bar);
    });
    box.append(bars, make("small", "", "tokens of the shared windows by level 0..10 (logarithmic)"));
    for (const [mix, window, truth, predicted] of unit.windows) {
      const pair = make("div", "pair");
      pair.append(make("small", "", `${mix} window ${window}: true, then predicted`));
      pair.append(line(data.windows[window], truth, "213, 94, 0"), line(data.windows[window], predicted, "0, 114, 178"));
      box.append(pair);
    }
    const details = make("details");
    details.append(make("summary", "", "every score, with its interval over documents"));
    const table = make("table");
    for (const cells of unit.scores) {
      const row = make("tr");
      cells.forEach((cell) => row.append(make("td", "text", cell)));
      table.append(row);
    }
    details.append(table);
    box.append(details);
    return box;
  };
  const show = () => {
    const kind = kinds.value, order = sorting.value;
    const chosen = data.units.filter((unit) => kind === "all" || unit.kind === kind);
    const value = (unit) => unit.score === null ? -2 : unit.score;
    if (order !== "by layer") chosen.sort((a, b) => (order === "best first" ? -1 : 1) * (value(a) - value(b)));
    list.replaceChildren(...chosen.map((unit) => {
      const details = make("details", "unit");
      details.id = address(unit);
      const summary = make("summary");
      summary.append(make("span", "unit-name", `${unit.name} ${unit.kind.includes("(") ? unit.kind.slice(unit.kind.indexOf("(")) : ""}`));
      summary.append(make("span", "unit-score", unit.score === null ? "undefined" : unit.score.toFixed(3)));
      summary.append(make("span", "unit-text", unit.reason ? `${unit.reason}: ${unit.text}` : unit.text));
      details.append(summary);
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) details.append(body(unit));
      });
      return details;
    }));
  };
  const select = (name, options) => {
    const element = make("select");
    element.setAttribute("aria-label", name);
    options.forEach((option) => element.append(make("option", "", option)));
    element.addEventListener("change", show);
    controls.append(element);
    return element;
  };
  const kinds = select("kind of unit", [...new Set(data.units.map((unit) => unit.kind))].concat("all"));
  const sorting = select("order", ["by layer", "best first", "worst first"]);
  show();
  // a link to a unit shows and opens it, whatever kind was chosen
  const reach = () => {
    if (!data.units.some((unit) => "#" + address(unit) === location.hash)) return;
    const find = () => document.getElementById(location.hash.slice(1));
    if (!find()) { kinds.value = "all"; show(); }
    find().open = true;
    find().scrollIntoView();
  };
  addEventListener("hashchange", reach);
  reach();
})();
