"use strict";
// Every table can be sorted by a column, filtered by words and copied as CSV.
(() => {
  const cellText = cell => cell.innerText.replace(/\s+/g, " ").trim();
  const asNumber = text => {
    const found = text.replace(/−/g, "-").replace(/,/g, "").match(/^(?:p\s*[=<]\s*|[<$≤≥]\s*)?([+-]?\d*\.?\d+(?:e[+-]?\d+)?)/i);
    return found ? parseFloat(found[1]) : NaN;
  };
  // Spreadsheets take text that begins so for a formula, as write_csv of the analysis knows.
  const safe = text => /^[=+\-@\t\r]/.test(text) && !/^[+-]?\d+(\.\d*)?$/.test(text) ? "'" + text : text;
  const csvCell = text => {
    const shown = safe(text.replace(/−/g, "-"));
    return /[",\n]/.test(shown) ? '"' + shown.replace(/"/g, '""') + '"' : shown;
  };
  const copy = async text => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  const sort = (table, column, down) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map(row => {
      const text = row.cells[column] ? row.cells[column].textContent.replace(/\s+/g, " ").trim() : "";
      return { row, text, number: asNumber(text) };
    });
    const empty = item => item.text === "" || item.text === "–";
    const numeric = rows.some(item => !isNaN(item.number)) && rows.every(item => empty(item) || !isNaN(item.number));
    rows.sort((a, b) => {
      if (empty(a) !== empty(b)) return empty(a) ? 1 : -1;
      const order = numeric ? a.number - b.number : a.text.localeCompare(b.text, "en", { numeric: true });
      return down ? -order : order;
    });
    body.append(...rows.map(item => item.row));
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      if (i === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  };
  const label = (text, control, name) => {
    const made = document.createElement("label");
    if (name) made.className = name;
    made.append(text, control);
    return made;
  };
  // On a phone each row is a card, whose cells say their column. Roles stay those of a table.
  window.labelCells = table => {
    const names = [...table.tHead.rows[0].cells].map(cell => cell.textContent.trim());
    for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => { cell.dataset.label = names[i]; });
    if (table.tBodies[0].rows.length) table.setAttribute("role", "table"); else table.removeAttribute("role");
    for (const [selector, role] of [["thead,tbody", "rowgroup"], ["tr", "row"], ["thead th", "columnheader"], ["tbody th", "rowheader"], ["td", "cell"]])
      table.querySelectorAll(selector).forEach(node => node.setAttribute("role", role));
  };
  const dress = table => {
    const heads = [...table.tHead.rows[0].cells], names = heads.map(cell => cell.textContent.trim());
    table.classList.add("cards");
    labelCells(table);
    heads.forEach((cell, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      button.addEventListener("click", () => sort(table, i, cell.getAttribute("aria-sort") === "ascending"));
      cell.append(button);
    });
    const bar = document.createElement("div"), title = table.caption ? table.caption.textContent.trim().split(/[.:;]/)[0] : "table";
    bar.className = "bar";
    const filter = document.createElement("input");
    filter.type = "search";
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      }
    });
    filter.setAttribute("aria-label", "filter: " + title);
    const order = document.createElement("select");
    order.append(new Option("as it is", ""), ...names.map((name, i) => new Option(name, i)));
    order.addEventListener("change", () => order.value !== "" && sort(table, +order.value, false));
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy as CSV";
    button.setAttribute("aria-label", "copy as CSV: " + title);
    button.addEventListener("click", async () => {
      const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
      const lines = [names, ...rows.map(row => [...row.cells].map(cellText))];
      await copy(lines.map(cells => cells.map(csvCell).join(",")).join("\n") + "\n");
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy as CSV"; }, 1500);
    });
    bar.append(label("filter", filter), label("sort by", order, "order"), button);
    table.parentElement.before(bar);
  };
  document.querySelectorAll(".scroll > table").forEach(dress);
  // What is closed is printed too.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach(item => { item.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach(item => { item.open = false; }));
})();
