/* The circuit page: features of two dictionaries, edges between them, a global and a per-prompt view. */
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("circuit-data").textContent);
  const root = document.getElementById("circuit");
  const SVG = "http://www.w3.org/2000/svg";
  const MOST_EDGES = 600, FIRST_EDGES = 120, ROW = 17, WIDTH = 720, LEFT = 250, RIGHT = 470;
  // Start with the strongest edges, however many edges each output has.
  const shares = data.edges.map((edge) => edge[3]).sort((a, b) => b - a);
  const atFirst = Math.min(0.12, Math.ceil(100 * (shares[FIRST_EDGES] || 0)) / 100);
  const state = { view: "global", share: atFirst, query: "", chosen: null, position: data.prompt ? data.prompt.start : 0 };

  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const drawn = (tag, attributes) => {
    const made = document.createElementNS(SVG, tag);
    for (const name in attributes) made.setAttribute(name, attributes[name]);
    return made;
  };
  // what is no button answers to a click, to Enter and to the space bar
  const pressed = (made, act) => {
    made.setAttribute("tabindex", 0);
    made.setAttribute("role", "button");
    made.addEventListener("click", act);
    made.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
  };
  const feature = (side, id) => (side === "IF" ? data.inputs : data.outputs)[id];
  const label = (side, id) => side + "_" + id + "  " + feature(side, id).label;
  const matches = (side, id) => {
    const query = state.query.trim().toLowerCase();
    if (!query) return true;
    const found = feature(side, id);
    return (side + "_" + id).toLowerCase() === query || found.top.some((token) => token.toLowerCase().includes(query)) ||
      found.contexts.some((context) => context.tokens[context.at].toLowerCase().includes(query));
  };

  function visibleEdges() {
    if (state.view === "global") {
      return data.edges.filter((edge) => edge[3] >= state.share && (matches("IF", edge[0]) || matches("OF", edge[1])));
    }
    const here = data.prompt.positions[state.position];
    const values = new Map(here.inputs), written = new Set(here.outputs.map((item) => item[0]));
    const out = [];
    for (const [source, target, weight] of data.edges) {
      if (!values.has(source) || !written.has(target)) continue;
      out.push([source, target, weight, Math.abs(weight * values.get(source)), weight * values.get(source)]);
    }
    const totals = new Map();
    for (const edge of out) totals.set(edge[1], (totals.get(edge[1]) || 0) + edge[3]);
    return out.map((edge) => [edge[0], edge[1], edge[4], edge[3] / totals.get(edge[1])])
      .filter((edge) => edge[3] >= state.share && (matches("IF", edge[0]) || matches("OF", edge[1])));
  }

  function nodes(edges) {
    const left = new Set(edges.map((edge) => edge[0])), right = new Set(edges.map((edge) => edge[1]));
    if (state.view === "global" && state.query.trim()) {
      for (const id in data.outputs) if (matches("OF", id)) right.add(Number(id));
    }
    if (state.view === "prompt") {
      for (const [id] of data.prompt.positions[state.position].outputs) if (matches("OF", id)) right.add(id);
    }
    const rank = new Map(data.order.map((id, place) => [id, place]));
    const outputs = [...right].sort((a, b) => rank.get(a) - rank.get(b));
    const place = new Map(outputs.map((id, i) => [id, i]));
    const weight = new Map();
    for (const [source, target, , share] of edges) {
      const old = weight.get(source) || [0, 0];
      weight.set(source, [old[0] + share * place.get(target), old[1] + share]);
    }
    const mean = (id) => weight.get(id)[0] / weight.get(id)[1];
    return { inputs: [...left].sort((a, b) => mean(a) - mean(b)), outputs };
  }

  function draw() {
    let edges = visibleEdges().sort((a, b) => b[3] - a[3]);
    const hidden = Math.max(0, edges.length - MOST_EDGES);
    edges = edges.slice(0, MOST_EDGES);
    const { inputs, outputs } = nodes(edges);
    const errors = errorNodes();
    const height = ROW * (Math.max(inputs.length, outputs.length) + errors.length + 3);
    const svg = drawn("svg", { viewBox: "0 0 " + WIDTH + " " + height });
    const spread = (list) => (height - ROW * (errors.length + 2.5)) / Math.max(1, list.length);
    const y = (list, i) => ROW * 2 + (i + 0.3) * spread(list);
    const atIn = new Map(inputs.map((id, i) => [id, y(inputs, i)])), atOut = new Map(outputs.map((id, i) => [id, y(outputs, i)]));
    const largest = Math.max(1e-9, ...edges.map((edge) => Math.abs(edge[2])));
    for (const [source, target, weight] of edges) {
      const chosen = state.chosen;
      const dim = chosen && !(chosen[0] === "IF" ? chosen[1] === source : chosen[1] === target);
      svg.append(drawn("line", {
        x1: LEFT + 4, y1: atIn.get(source) - 4, x2: RIGHT - 4, y2: atOut.get(target) - 4, class: dim ? "dim" : "",
        stroke: weight < 0 ? "#D55E00" : "#0072B2", "stroke-width": 0.5 + 3.5 * Math.abs(weight) / largest,
      }));
    }
    header(svg, LEFT, "end", data.names[0]);
    header(svg, RIGHT, "start", data.names[1]);
    for (const id of inputs) node(svg, "IF", id, LEFT, atIn.get(id), "end");
    for (const id of outputs) node(svg, "OF", id, RIGHT, atOut.get(id), "start");
    errors.forEach(([text, x, anchor], i) => {
      const made = drawn("text", { x, y: height - ROW * (errors.length - i) + 4, "text-anchor": anchor, class: "error" });
      made.textContent = text;
      svg.append(made);
    });
    map.replaceChildren(svg);
    const left = data.prompt ? data.prompt.positions[state.position].outputs_not_shown || 0 : 0;
    counter.textContent = edges.length + " edges, " + inputs.length + " input and " + outputs.length + " output features" +
      (hidden ? " (" + hidden + " weaker edges not drawn)" : "") +
      (left && state.view === "prompt" ? "; " + left + " active output features are not on this page" : "") + absent();
  }

  function absent() {
    const named = /^(if|of)_(\d+)$/i.exec(state.query.trim());
    return named && !feature(named[1].toUpperCase(), named[2]) ? "; not on this page: " + state.query.trim() : "";
  }

  function errorNodes() {
    if (state.view === "global") {
      return [
        ["input features miss: FVU " + data.errors.first.toFixed(3), LEFT, "end"],
        ["output features miss: FVU " + data.errors.second.toFixed(3), RIGHT, "start"],
        ["connector's error: FVU " + data.errors.connector.toFixed(3), RIGHT, "start"],
      ];
    }
    const here = data.prompt.positions[state.position];
    return [
      ["input features miss: " + (100 * here.error_in).toFixed(0) + "% of norm", LEFT, "end"],
      ["output features miss: " + (100 * here.error_out).toFixed(0) + "% of norm", RIGHT, "start"],
      ["connector's error: " + (100 * here.error_connector).toFixed(0) + "% of norm", RIGHT, "start"],
    ];
  }

  function header(svg, x, anchor, text) {
    const made = drawn("text", { x, y: ROW, "text-anchor": anchor, class: "head" });
    made.textContent = text;
    svg.append(made);
  }

  function node(svg, side, id, x, y, anchor) {
    const chosen = state.chosen && state.chosen[0] === side && state.chosen[1] === id;
    const made = drawn("text", { x, y, "text-anchor": anchor, class: chosen ? "chosen" : "" });
    made.dataset.feature = side + "_" + id;
    let text = label(side, id);
    if (text.length > 34) text = text.slice(0, 33) + "…";
    made.textContent = text;
    made.setAttribute("aria-pressed", !!chosen);
    pressed(made, () => {
      state.chosen = chosen ? null : [side, id];
      draw(); show();
      const again = map.querySelector(`[data-feature="${side}_${id}"]`);
      if (again) again.focus();
    });
    svg.append(made);
  }

  function show() {
    panel.replaceChildren();
    if (!state.chosen) {
      panel.append(element("p", "Click a feature for its contexts, density, equation and effect on the logits."));
      return;
    }
    const [side, id] = state.chosen, found = feature(side, id);
    const head = element("h3"), link = element("a", side + "_" + id);
    link.href = "#" + side + "_" + id;
    head.append(link);
    panel.append(head);
    panel.append(element("p", "fires on " + (found.top.map((token) => JSON.stringify(token)).join(" ") || "nothing here") +
      "; density " + (100 * found.density).toFixed(2) + "%"));
    if (found.equation) panel.append(element("p", found.equation, "equation"));
    if (found.logic) panel.append(element("p", "logic: " + found.logic));
    if (found.promotes) {
      panel.append(element("p", "promotes " + found.promotes.map((t) => JSON.stringify(t)).join(" ")));
      panel.append(element("p", "demotes " + found.demotes.map((t) => JSON.stringify(t)).join(" ")));
    } else panel.append(element("p", "Logits effect: none directly (read by the MLP, not written to the residual stream)."));
    panel.append(element("h4", "Strongest contexts"));
    for (const context of found.contexts) {
      const line = element("p", undefined, "window");
      context.tokens.forEach((token, i) => line.append(element(i === context.at ? "mark" : "span", token)));
      line.append(element("span", "  " + context.value.toFixed(2)));
      panel.append(line);
    }
    panel.append(element("h4", "Edges"));
    const mine = data.edges.filter((edge) => edge[side === "IF" ? 0 : 1] === id).sort((a, b) => b[3] - a[3]);
    for (const [source, target, weight, share] of mine) {
      const end = side === "IF" ? ["OF", target] : ["IF", source];
      const link = element("button", (weight < 0 ? "− " : "+ ") + Math.abs(weight).toFixed(2) + "  " + label(...end) + "  (" +
        (100 * share).toFixed(0) + "%)", "circuit-edge");
      link.addEventListener("click", () => { state.chosen = end; draw(); show(); });
      panel.append(link);
    }
  }

  function promptBar() {
    prompt.replaceChildren();
    if (state.view !== "prompt") return;
    data.prompt.tokens.forEach((token, i) => {
      const made = element("span", token, i === state.position ? "on" : "");
      made.dataset.position = i;
      if (data.prompt.positions[i]) {
        made.setAttribute("aria-pressed", i === state.position);
        pressed(made, () => {
          state.position = i; state.chosen = null; refresh();
          prompt.querySelector(`[data-position="${i}"]`).focus();
        });
      }
      prompt.append(made);
    });
  }

  function refresh() {
    for (const name in buttons) buttons[name].classList.toggle("on", name === state.view);
    promptBar(); draw(); show();
  }

  const bar = element("div", undefined, "circuit-bar");
  const buttons = {};
  for (const [name, text] of [["global", "Global"], ["prompt", "One prompt"]]) {
    buttons[name] = element("button", text);
    buttons[name].dataset.view = name;
    buttons[name].disabled = name === "prompt" && !data.prompt;
    buttons[name].addEventListener("click", () => { state.view = name; state.chosen = null; refresh(); });
    bar.append(buttons[name]);
  }
  const search = element("input");
  search.setAttribute("aria-label", "search by token or name of a feature");
  search.type = "search"; search.id = "circuit-search"; search.placeholder = "search by token or OF_30";
  search.addEventListener("input", () => { state.query = search.value; draw(); });
  const slider = element("input"), shown = element("output", state.share.toFixed(2));
  Object.assign(slider, { type: "range", min: 0, max: 0.6, step: 0.01, value: state.share, id: "circuit-prune" });
  slider.addEventListener("input", () => { state.share = Number(slider.value); shown.textContent = state.share.toFixed(2); draw(); });
  const pruneLabel = element("label", "prune below share ");
  pruneLabel.append(slider, " ", shown);
  const counter = element("span", "", "circuit-count");
  bar.append(search, pruneLabel, counter);
  const prompt = element("div", undefined, "circuit-prompt"), body = element("div", undefined, "circuit-body");
  const map = element("div", undefined, "circuit-map"), panel = element("div", undefined, "circuit-panel");
  body.append(map, panel);
  root.append(bar, prompt, body);
  // a link to a feature chooses it
  const reach = () => {
    const named = /^#(IF|OF)_(\d+)$/.exec(location.hash);
    if (!named || !feature(named[1], named[2])) return;
    state.chosen = [named[1], Number(named[2])];
    refresh();
    root.scrollIntoView();
  };
  addEventListener("hashchange", reach);
  refresh();
  reach();
})();
