"use strict";
(() => {
  const { head, chunk, format, address, chosen, row, node } = details;
  const pick = name => document.getElementById("pick-" + name);
  const codes = Object.keys(head.names), targetsOf = code => Object.keys(head.targets).filter(t => head.targets[t].languages.includes(code));
  const shown = code => `${head.names[code]} (${code}, ${head.tiers[code]})`;
  document.getElementById("languages-known").replaceChildren(...codes.map(code => new Option(shown(code), shown(code))));
  // A code, a name, or the beginning of one.
  const languageOf = text => {
    const wanted = text.trim().toLowerCase();
    const fits = [code => shown(code).toLowerCase() === wanted, code => code.toLowerCase() === wanted, code => head.names[code].toLowerCase() === wanted,
      code => head.names[code].toLowerCase().startsWith(wanted), code => head.names[code].toLowerCase().includes(wanted)];
    for (const test of fits) { const found = codes.find(test); if (found && wanted) return found; }
    return null;
  };
  let language = codes[0];
  const fill = (select, items) => {
    const was = select.value;
    select.replaceChildren(...items.map(v => new Option(v, v)));
    if (items.includes(was)) select.value = was;
  };
  const odds = p => { const q = Math.min(Math.max(p / 100, 0.0005), 0.9995); return Math.log(q / (1 - q)); };
  const mean = list => list.length ? list.reduce((a, b) => a + b, 0) / list.length : null;
  const svg = (tag, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const ticks = (low, high) => {
    const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
    const out = [];
    for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) out.push(Math.abs(t) < 1e-9 ? 0 : t);
    return out;
  };
  const picture = (grid, runs, arm, target, scale) => {
    const value = c => scale === "logit" ? odds(c[1]) - odds(c[0]) : c[1] - c[0];
    const kinds = scale === "score" ? [["without phase ii", c => c[0], "#0072B2"], ["with " + arm, c => c[1], "#D55E00"]] : [["gain", value, "#D55E00"]];
    const points = [];
    grid.forEach((cells, i) => cells.forEach((c, j) => { if (c) kinds.forEach(([, f, colour], k) => points.push({ i, j, k, v: f(c), colour, collapsed: runs[i][j][2] })); }));
    // Collapsed runs would flatten everything else: they sit at the edge of the range of the others.
    const kept = points.some(p => !p.collapsed) ? points.filter(p => !p.collapsed) : points;
    let low = Math.min(...kept.map(p => p.v)), high = Math.max(...kept.map(p => p.v));
    if (scale !== "score") { low = Math.min(low, 0); high = Math.max(high, 0); }
    // An axis of next to nothing makes a cliff of every ripple.
    const least = scale === "logit" ? 0.1 : 2, more = Math.max(least - (high - low), 0) / 2, room = (high - low + 2 * more) * 0.08;
    low -= more + room; high += more + room;
    const W = 640, H = 340, L = 62, B = 60, T = 24;
    const x0 = head.x[0], x1 = head.x[head.x.length - 1];
    const px = i => L + 30 + (W - L - 60) * (x1 > x0 ? (head.x[i] - x0) / (x1 - x0) : 0.5);
    const py = w => { const v = Math.min(Math.max(w, low), high); return T + (H - T - B) * (high - v) / (high - low); };
    const unit = { points: "gain, points", logit: "gain, log odds", score: "score" }[scale];
    const drawn = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${unit} of ${head.names[language]} on ${target} with ${arm}, by size` });
    for (const t of ticks(low, high)) {
      drawn.append(svg("line", { x1: L, x2: W - 10, y1: py(t), y2: py(t), stroke: t === 0 && scale !== "score" ? "var(--ink)" : "var(--grid)" }));
      drawn.append(svg("text", { x: L - 8, y: py(t) + 4, "text-anchor": "end" }, String(+t.toFixed(3)).replace("-", "−")));
    }
    head.labels.forEach((label, i) => drawn.append(svg("text", { x: px(i), y: H - B + 22, "text-anchor": "middle" }, label)));
    drawn.append(svg("text", { x: (L + W) / 2, y: H - 8, "text-anchor": "middle" }, "size (log scale)"));
    drawn.append(svg("text", { x: -(T + H - B) / 2, y: 14, "text-anchor": "middle", transform: "rotate(-90)" }, unit));
    kinds.forEach(([name, , colour], k) => {
      const line = head.labels.map((_, i) => [i, mean(points.filter(p => p.i === i && p.k === k && !p.collapsed).map(p => p.v))]).filter(p => p[1] !== null);
      drawn.append(svg("polyline", { points: line.map(([i, v]) => px(i) + "," + py(v)).join(" "), fill: "none", stroke: colour, "stroke-width": 2.5 }));
      line.forEach(([i, v]) => drawn.append(svg("rect", { x: px(i) - 4, y: py(v) - 4, width: 8, height: 8, fill: colour })));
      drawn.append(svg("text", { x: L + 8 + 170 * k, y: 14 }, (k ? "◆ " : "■ ") + name));
    });
    points.forEach(p => {
      const dot = svg("circle", { cx: px(p.i) + 9, cy: py(p.v), r: 3.2, fill: p.collapsed ? "none" : p.colour, stroke: p.colour, "fill-opacity": 0.45 });
      dot.append(svg("title", {}, `${head.labels[p.i]}, seed ${head.seeds[p.j]}: ${p.v.toFixed(2)}${p.collapsed ? " (collapsed)" : ""}`));
      drawn.append(dot);
    });
    return drawn;
  };
  const draw = async () => {
    fill(pick("target"), targetsOf(language));
    pick("language").value = shown(language);
    const target = pick("target").value, found = head.targets[target], part = await chunk(found.chunk);
    // Only combinations that exist can be chosen: target follows language, arm follows both.
    fill(pick("arm"), found.arms.filter(arm => part.series[arm + "|" + language]));
    const arm = pick("arm").value, scale = pick("scale").value, key = arm + "|" + language;
    const grid = part.series[key], runs = part.runs[arm];
    document.getElementById("plot").replaceChildren(picture(grid, runs, arm, target, scale));
    const s = part.slopes[key] || [null, null, null, null];
    document.getElementById("explore-text").textContent = `${head.names[language]} on ${target} with ${arm}: slope ${format(s[0])} points per tenfold scale (95 % interval ${format(s[1])} to ${format(s[2])}), ${format(s[3])} from its smallest to its largest size. A single series: to look up, not to count.`;
    const table = document.getElementById("runs"), body = table.tBodies[0];
    body.replaceChildren();
    grid.forEach((cells, i) => cells.forEach((c, j) => {
      if (!c) return;
      const run = runs[i][j], step = k => node("code", {}, part.steps[run[k]]);
      const here = address("examples", { target, arm, language, model: head.models[i], seed: head.seeds[j] });
      row(body, [head.labels[i], String(head.seeds[j]), c[0].toFixed(1), c[1].toFixed(1), format(c[1] - c[0], 1) + (run[2] ? " collapsed" : ""), node("a", { href: here }, "examples"), step(0), step(1)]);
    }));
    labelCells(table);
    return { language, target, arm, scale };
  };
  const choose = async () => { const now = await draw(); history.replaceState(null, "", address("explore", now)); };
  pick("language").addEventListener("change", () => {
    const found = languageOf(pick("language").value);
    document.getElementById("language-unknown").textContent = found ? "" : `no language is called “${pick("language").value}”`;
    if (found) { language = found; choose(); }
  });
  pick("language").addEventListener("focus", () => pick("language").select());
  for (const name of ["target", "arm", "scale"]) pick(name).addEventListener("change", choose);
  document.getElementById("controls").addEventListener("submit", e => e.preventDefault());
  const follow = async () => {
    const asked = chosen("explore");
    if (!asked) return;
    const fits = codes.filter(code => targetsOf(code).some(t => (!asked.target || t === asked.target) && (!asked.arm || head.targets[t].arms.includes(asked.arm))));
    if (head.names[asked.language]) language = asked.language;
    else if (!fits.includes(language) && fits.length) language = fits[0];
    for (const name of ["target", "arm", "scale"]) if (asked[name]) {
      if (name === "arm") await draw();
      else if (name === "target") fill(pick("target"), targetsOf(language));
      pick(name).value = asked[name];
      if (!pick(name).value) pick(name).selectedIndex = 0;
    }
    await draw();
    document.getElementById("explore").scrollIntoView();
  };
  addEventListener("hashchange", follow);
  if (chosen("explore")) follow(); else if (document.getElementById("chunk-t0")) draw();
  else new IntersectionObserver((seen, watch) => { if (seen.some(s => s.isIntersecting)) { watch.disconnect(); draw(); } }).observe(document.getElementById("explore"));
})();
