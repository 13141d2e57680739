"use strict";
// The records behind a number: those that entered it, and those that did not with the reason.
(() => {
  const { head, chunk, format, address, chosen, row, node, command } = details;
  const MOST = 400, field = name => document.getElementById("behind-" + name);
  const groupOf = asked => head.groups.findIndex(g => g.name === asked.view + ":" + asked.name);
  // Whether a view speaks of a language at all, and of which sizes.
  const viewOf = asked => {
    const at = groupOf(asked), all = Object.keys(head.names), zeroShot = all.filter(code => code !== "en");
    if (at >= 0) return { at, title: `${asked.view === "pool" ? "slopes and gains of" : "mean gains of"} ${asked.name}`, languages: head.groups[at].languages, models: () => head.groups[at].models, roles: true };
    if (asked.view === "language") return { at: head.groups.length, title: `the slope of ${head.names[asked.language]}`, languages: [asked.language], models: code => head.languageModels[code] || [], roles: true };
    if (asked.view === "pair") return { at: asked.model ? -1 : head.groups.length + 1, title: `the mean of ${asked.arm} on ${asked.target}`, languages: zeroShot, models: (code, part, arm) => asked.model ? head.models : part.models[arm] || [] };
    return { at: -1, title: asked.view === "score" ? `the score of ${asked.arm} on ${asked.target}` : "all gains", languages: asked.view === "score" ? zeroShot : all, models: () => head.models, score: asked.view === "score" };
  };
  const reason = (view, part, target, arm, code, model, collapsed) => {
    if (view.roles && head.arms[arm]) return head.arms[arm];
    if (view.roles && head.targets[target].same.includes(arm)) return "both phases train on the same data";
    if (collapsed) return "collapsed run";
    if (!view.models(code, part, arm).includes(model)) return "size with too few series";
    if (view.at >= 0 && !((part.bits[arm + "|" + code] || 0) >> view.at & 1)) return "series without enough healthy runs at every size";
    return "";
  };
  const fill = (name, items, value) => {
    field(name).replaceChildren(new Option("all", ""), ...items.map(([v, text]) => new Option(text, v)));
    field(name).value = items.some(([v]) => v === value) ? value : "";
  };
  const list = async asked => {
    const view = viewOf(asked), body = document.getElementById("behind").tBodies[0];
    const languages = asked.language ? view.languages.filter(code => code === asked.language) : view.languages;
    const arms = asked.arm && asked.arm !== "none" ? [asked.arm] : Object.keys(head.arms);
    const targets = Object.keys(head.targets).filter(t => !asked.target || t === asked.target);
    fill("model", head.models.map((m, i) => [m, head.labels[i]]), asked.model);
    fill("arm", Object.keys(head.arms).map(a => [a, a]), asked.arm);
    fill("target", Object.keys(head.targets).map(t => [t, t]), asked.target);
    fill("language", view.languages.map(code => [code, head.names[code]]), asked.language);
    body.replaceChildren();
    const reasons = new Map(), found = [];
    for (const target of targets) {
      const part = await chunk(head.targets[target].chunk);
      for (const arm of arms) for (const code of languages) {
        const grid = part.series[arm + "|" + code];
        if (grid) grid.forEach((cells, i) => cells.forEach((c, j) => {
          if (!c || asked.model && head.models[i] !== asked.model) return;
          const why = reason(view, part, target, arm, code, head.models[i], part.runs[arm][i][j][2]);
          reasons.set(why, (reasons.get(why) || 0) + 1);
          if (found.length < MOST) found.push({ why, i, j, arm, target, code, c });
        }));
      }
    }
    found.forEach(({ why, i, j, arm, target, code, c }) => {
      const here = address("examples", { target, arm, language: code, model: head.models[i], seed: head.seeds[j] });
      row(body, [why ? "out: " + why : "in", head.labels[i], String(head.seeds[j]), arm, target, head.names[code], c[0].toFixed(1), c[1].toFixed(1), format(c[1] - c[0], 1), node("a", { href: here }, "examples")]);
    });
    labelCells(document.getElementById("behind"));
    const total = [...reasons.values()].reduce((a, b) => a + b, 0), inside = reasons.get("") || 0;
    const others = [...reasons].filter(([why]) => why).map(([why, n]) => `${n.toLocaleString("en")} ${why}`).join("; ");
    document.getElementById("behind-text").textContent = `${view.title[0].toUpperCase()}${view.title.slice(1)}: ${inside.toLocaleString("en")} of ${total.toLocaleString("en")} gains are in${others ? " (out: " + others + ")" : ""}.${total > found.length ? ` The first ${found.length} are listed: narrow them, or take records.csv or records.parquet.` : ""}`;
  };
  const show = async asked => {
    const found = head.targets[asked.target], part = await chunk(found.chunk), i = head.models.indexOf(asked.model), j = head.seeds.indexOf(+asked.seed);
    const run = part.runs[asked.arm][i][j], steps = [["with phase ii", part.steps[run[0]]], ["without", part.steps[run[1]]]];
    const examples = found.examples ? await chunk(found.examples) : {};
    const table = document.getElementById("shown"), body = table.tBodies[0];
    body.replaceChildren();
    for (const [what, step] of steps) for (const [id, prediction, outcome] of (examples[step] || {})[asked.language] || [])
      row(body, [what, node("code", {}, id), prediction, String(outcome)]);
    labelCells(table);
    document.getElementById("shown-text").textContent = `${head.names[asked.language]} on ${asked.target} with ${asked.arm}, ${head.labels[i]}, seed ${asked.seed}` + (body.rows.length ? ": the first examples that are wrong and right." : ": the outcomes of its examples were not given to this report.");
    document.getElementById("shown-commands").replaceChildren(...steps.map(([what, step]) => node("li", {}, what + ": ", node("code", {}, command(step, asked.language)))));
  };
  const follow = async () => {
    const records = chosen("records"), examples = chosen("examples");
    if (records) { await list(records); document.getElementById("records").scrollIntoView(); }
    if (examples) { await show(examples); document.getElementById("examples").scrollIntoView(); }
  };
  for (const name of ["model", "arm", "target", "language"]) field(name).addEventListener("change", () => {
    location.hash = address("records", { view: "any", ...chosen("records"), [name]: field(name).value });
  });
  document.getElementById("behind-controls").addEventListener("submit", e => e.preventDefault());
  addEventListener("hashchange", follow);
  const first = head.groups.findIndex(g => g.name.startsWith("pool:"));
  if (chosen("records") || chosen("examples")) follow();
  else if (document.getElementById("chunk-t0") && first >= 0) list({ view: "pool", name: head.groups[first].name.slice(5) });
})();
