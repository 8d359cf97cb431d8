// Tables sort by a click on a heading, filter by words, and download as CSV; a long one opens on demand. Figures download
// as SVG and PNG.
"use strict";
(() => {
  const element = (name, attributes, ...children) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  };
  const text = (cell) => cell.textContent.trim();
  const number = (words) => {
    const found = words.replace(/,/g, "").match(/^\[?\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/i);
    return found ? Number(found[1]) : null;
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (x !== null && y !== null) return x - y;
    if (x !== null || y !== null) return x !== null ? -1 : 1;
    return a.localeCompare(b);
  };
  const save = (name, url) => element("a", { href: url, download: name }).click();
  const stem = (words, number) => (words.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 50) || "table") + "-" + number;

  const LONG = 40, FIRST = 25; // rows of a long table, and how many of them stand open (page.css hides the others)

  // a row that is of one cluster, unit or feature has an address, and its first cell is the link to it
  const link = (table, body, kind) => {
    const section = table.closest("section");
    [...body.rows].forEach((row) => {
      const cell = row.cells[0];
      const id = [section && section.id, kind, text(cell)].filter(Boolean).join("-").replace(/\s+/g, "-");
      if (!text(cell) || document.getElementById(id)) return;
      row.id = id;
      if (!cell.querySelector("a")) cell.replaceChildren(element("a", { href: "#" + id }, ...cell.childNodes));
    });
  };

  // two regions of one name cannot be told apart by ear: the second says which it is
  const named = new Map();
  document.querySelectorAll(".scroll[role=region]").forEach((region) => {
    const name = region.getAttribute("aria-label");
    named.set(name, (named.get(name) || 0) + 1);
    if (named.get(name) > 1) region.setAttribute("aria-label", name + ", " + named.get(name));
  });

  document.querySelectorAll(".scroll > table").forEach((table, place) => {
    const body = table.tBodies[0];
    const heads = [...table.querySelectorAll("thead th")];
    if (!body || body.rows.length < 2) return;
    if (/^(cluster|unit|feature|direction)$/.test(text(heads[0]))) link(table, body, text(heads[0]));
    heads.forEach((head, column) => {
      const button = element("button", { type: "button", className: "sort", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].sort((a, b) => compare(text(a.cells[column]), text(b.cells[column])));
        body.append(...(up ? rows : rows.reverse()));
      });
    });
    const name = table.parentElement.getAttribute("aria-label") || (table.caption ? text(table.caption) : "");
    const tools = element("div", { className: "tools" });
    let [whole, sought] = [body.rows.length <= LONG, ""];
    const fold = () => table.classList.toggle("folded", !whole && !sought);
    if (!whole) {
      const more = element("button", { type: "button", className: "more" });
      const open = (wanted) => {
        whole = wanted;
        more.textContent = whole ? `first ${FIRST} rows` : `all ${body.rows.length} rows`;
        more.setAttribute("aria-expanded", whole);
        fold();
      };
      more.addEventListener("click", () => open(!whole));
      open(false);
      const reach = () => {
        const aim = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
        if (aim && body.contains(aim) && !whole) { open(true); aim.scrollIntoView(); }
      };
      addEventListener("hashchange", reach);
      reach();
      tools.append(more);
    }
    if (body.rows.length > 7) {
      const filter = element("input", { type: "search", placeholder: "filter rows" });
      filter.setAttribute("aria-label", "filter the rows of " + (name || "this table"));
      filter.addEventListener("input", () => {
        sought = filter.value.toLowerCase();
        [...body.rows].forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(sought); });
        fold();
      });
      tools.append(filter);
    }
    const csv = element("button", { type: "button", textContent: "CSV" });
    csv.setAttribute("aria-label", "download " + (name || "this table") + " as CSV");
    csv.addEventListener("click", () => {
      const quoted = (words) => (/[",\n]/.test(words) ? '"' + words.replace(/"/g, '""') + '"' : words);
      const rows = [heads, ...[...body.rows].filter((row) => !row.hidden).map((row) => [...row.cells])];
      const lines = rows.map((cells) => cells.map((cell) => quoted(text(cell))).join(","));
      save(stem(name, place) + ".csv", "data:text/csv;charset=utf-8," + encodeURIComponent(lines.join("\n") + "\n"));
    });
    tools.append(csv);
    table.parentElement.before(tools);
  });

  document.querySelectorAll("figure:not(.key) > svg").forEach((svg, place) => {
    const name = stem(svg.getAttribute("aria-label") || "figure", place);
    const source = () => "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
    const asSvg = element("button", { type: "button", textContent: "SVG" });
    asSvg.addEventListener("click", () => save(name + ".svg", source()));
    const asPng = element("button", { type: "button", textContent: "PNG" });
    asPng.addEventListener("click", () => {
      const picture = new Image();
      picture.addEventListener("load", () => {
        const size = svg.getBoundingClientRect();
        const canvas = element("canvas", { width: 2 * size.width, height: 2 * size.height });
        const pen = canvas.getContext("2d");
        pen.fillStyle = "#fff";
        pen.fillRect(0, 0, canvas.width, canvas.height);
        pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
        save(name + ".png", canvas.toDataURL("image/png"));
      });
      picture.src = source();
    });
    for (const [button, kind] of [[asSvg, "SVG"], [asPng, "PNG"]]) button.setAttribute("aria-label", `download figure ${place + 1} as ${kind}`);
    svg.parentElement.append(element("div", { className: "tools" }, asSvg, asPng));
  });

  // paper has no clicks: every closed block is printed open, and closed again afterwards
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((block) => { block.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((block) => { block.open = false; }));
})();
