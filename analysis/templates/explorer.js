"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pick = name => document.getElementById("pick-" + name);
  const keys = Object.keys(data.series).map(k => k.split("|"));
  const values = i => [...new Set(keys.map(k => k[i]))].sort();
  const format = (v, digits = 2) => v == null || !isFinite(v) ? "–" : (v > 0 ? "+" : "") + v.toFixed(digits).replace("-", "−");
  const fill = (select, items, name) => {
    const was = select.value;
    select.replaceChildren(...items.map(v => new Option(name ? name(v) : v, v)));
    if (items.includes(was)) select.value = was;
  };
  fill(pick("language"), values(2), code => (data.names[code] || code) + " (" + data.tiers[code] + ")");
  // Only combinations that exist can be chosen: target follows language, arm follows both.
  const narrow = () => {
    const language = pick("language").value;
    fill(pick("target"), [...new Set(keys.filter(k => k[2] === language).map(k => k[1]))].sort());
    const target = pick("target").value;
    fill(pick("arm"), [...new Set(keys.filter(k => k[2] === language && k[1] === target).map(k => k[0]))].sort());
  };
  const odds = p => { const q = Math.min(Math.max(p / 100, 0.0005), 0.9995); return Math.log(q / (1 - q)); };
  const mean = list => list.length ? list.reduce((a, b) => a + b, 0) / list.length : null;
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const ticks = (low, high) => {
    const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
    const out = [];
    for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) out.push(Math.abs(t) < 1e-9 ? 0 : t);
    return out;
  };
  const draw = () => {
    narrow();
    const [arm, target, language, scale] = ["arm", "target", "language", "scale"].map(n => pick(n).value);
    const grid = data.series[[arm, target, language].join("|")], runs = data.runs[arm + "|" + target];
    const value = c => scale === "logit" ? odds(c[1]) - odds(c[0]) : c[1] - c[0];
    const kinds = scale === "score" ? [["without phase ii", c => c[0], "#0072B2"], ["with " + arm, c => c[1], "#D55E00"]] : [["gain", value, "#D55E00"]];
    const points = [];
    grid.forEach((row, i) => row.forEach((c, j) => { if (c) kinds.forEach(([, f, colour], k) => points.push({ i, j, k, v: f(c), colour, collapsed: runs[i][j][2] })); }));
    // Collapsed runs would flatten everything else: they sit at the edge of the range of the others.
    const kept = points.some(p => !p.collapsed) ? points.filter(p => !p.collapsed) : points;
    let low = Math.min(...kept.map(p => p.v)), high = Math.max(...kept.map(p => p.v));
    if (scale !== "score") { low = Math.min(low, 0); high = Math.max(high, 0); }
    const room = (high - low || 1) * 0.08; low -= room; high += room;
    const W = 640, H = 320, L = 52, B = 44, T = 24;
    const x0 = data.x[0], x1 = data.x[data.x.length - 1];
    const px = i => L + 30 + (W - L - 60) * (x1 > x0 ? (data.x[i] - x0) / (x1 - x0) : 0.5);
    const py = w => { const v = Math.min(Math.max(w, low), high); return T + (H - T - B) * (high - v) / (high - low); };
    const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${scale} of ${data.names[language]} on ${target} with ${arm}, by size` });
    for (const t of ticks(low, high)) {
      picture.append(svg("line", { x1: L, x2: W - 10, y1: py(t), y2: py(t), stroke: t === 0 && scale !== "score" ? "var(--ink)" : "var(--grid)" }));
      picture.append(svg("text", { x: L - 8, y: py(t) + 4, "text-anchor": "end" }, String(+t.toFixed(3)).replace("-", "−")));
    }
    data.labels.forEach((label, i) => picture.append(svg("text", { x: px(i), y: H - B + 22, "text-anchor": "middle" }, label)));
    kinds.forEach(([name, , colour], k) => {
      const line = data.labels.map((_, i) => [i, mean(points.filter(p => p.i === i && p.k === k && !p.collapsed).map(p => p.v))]).filter(p => p[1] !== null);
      picture.append(svg("polyline", { points: line.map(([i, v]) => px(i) + "," + py(v)).join(" "), fill: "none", stroke: colour, "stroke-width": 2.5 }));
      line.forEach(([i, v]) => picture.append(svg("rect", { x: px(i) - 4, y: py(v) - 4, width: 8, height: 8, fill: colour })));
      picture.append(svg("text", { x: L + 8 + 170 * k, y: 14, style: `fill:${colour}` }, (k ? "◆ " : "■ ") + name));
    });
    points.forEach(p => {
      const dot = svg("circle", { cx: px(p.i) + 9, cy: py(p.v), r: 3.2, fill: p.collapsed ? "none" : p.colour, stroke: p.colour, "fill-opacity": 0.45 });
      dot.append(svg("title", {}, `${data.labels[p.i]}, seed ${data.seeds[p.j]}: ${p.v.toFixed(2)}${p.collapsed ? " (collapsed)" : ""}`));
      picture.append(dot);
    });
    document.getElementById("plot").replaceChildren(picture);
    const s = data.slopes[[arm, target, language].join("|")] || [null, null, null];
    document.getElementById("explore-text").textContent = `${data.names[language]} on ${target} with ${arm}: slope ${format(s[0])} points per tenfold scale (95 % interval ${format(s[1])} to ${format(s[2])}). A single series: to look up, not to count.`;
    const body = document.querySelector("#runs tbody");
    body.replaceChildren();
    grid.forEach((row, i) => row.forEach((c, j) => {
      if (!c) return;
      const tr = document.createElement("tr"), run = runs[i][j];
      const cells = [data.labels[i], data.seeds[j], c[0].toFixed(1), c[1].toFixed(1), format(c[1] - c[0], 1) + (run[2] ? " collapsed" : ""), data.steps[run[0]], data.steps[run[1]]];
      cells.forEach((text, k) => {
        const cell = document.createElement(k ? "td" : "th");
        if (!k) cell.scope = "row";
        if (k > 4) { cell.className = "l"; const code = document.createElement("code"); code.textContent = text; cell.append(code); } else cell.textContent = text;
        tr.append(cell);
      });
      body.append(tr);
    }));
  };
  for (const name of ["language", "target", "arm", "scale"]) pick(name).addEventListener("change", draw);
  document.getElementById("controls").addEventListener("submit", e => e.preventDefault());
  document.addEventListener("click", e => {
    const link = e.target.closest("a[data-language],a[data-arm]");
    if (!link) return;
    if (link.dataset.language) pick("language").value = link.dataset.language;
    if (link.dataset.arm) {
      const { arm, target } = link.dataset, key = keys.find(k => k[0] === arm && k[1] === target && k[2] === pick("language").value) || keys.find(k => k[0] === arm && k[1] === target);
      if (key) { pick("language").value = key[2]; narrow(); pick("target").value = target; narrow(); pick("arm").value = arm; }
    }
    draw();
  });
  draw();
})();
