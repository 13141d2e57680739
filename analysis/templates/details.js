"use strict";
// Parts of the data: inside the page, or beside it as scripts that call scalingDetails.
const details = (() => {
  const head = JSON.parse(document.getElementById("data").textContent);
  const loaded = new Map(), waiting = new Map();
  window.scalingDetails = (name, chunk) => { waiting.get(name)(chunk); };
  const chunk = name => {
    if (!loaded.has(name)) loaded.set(name, new Promise((done, failed) => {
      const inside = document.getElementById("chunk-" + name);
      if (inside) { done(JSON.parse(inside.textContent)); return; }
      waiting.set(name, done);
      const script = document.createElement("script");
      script.src = "details/" + name + ".js";
      script.onerror = () => failed(new Error("details/" + name + ".js is not there: keep the report's folder together"));
      document.head.append(script);
    }));
    return loaded.get(name);
  };
  const format = (v, digits = 2) => v == null || !isFinite(v) ? "–" : (v > 0 ? "+" : "") + v.toFixed(digits).replace("-", "−");
  const address = (place, chosen) => "#" + place + "?" + Object.entries(chosen).filter(([, v]) => v !== "" && v != null).map(([k, v]) => k + "=" + encodeURIComponent(v)).join("&");
  // The choice that the address names, of one place of the page; null for any other address.
  const chosen = place => {
    const [where, words = ""] = location.hash.slice(1).split("?");
    return where === place ? Object.fromEntries(new URLSearchParams(words.replace(/\+/g, "%2B"))) : null;
  };
  const row = (body, cells, heads = 1) => {
    const tr = document.createElement("tr");
    cells.forEach((content, k) => {
      const cell = document.createElement(k < heads ? "th" : "td");
      if (k < heads) cell.scope = "row";
      cell.append(...[content].flat());
      tr.append(cell);
    });
    body.append(tr);
    return tr;
  };
  const node = (tag, properties, ...content) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...content);
    return made;
  };
  const command = (step, language) => `scaling predictions ${head.study} ${step} --language ${language} --wrong`;
  return { head, chunk, format, address, chosen, row, node, command };
})();
