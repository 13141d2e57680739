// Looks at a report's page in headless Chromium and prints one JSON object.
// node users_page.mjs CHROMIUM ADDRESS small|large, beside node_modules with playwright-core and axe-core.
import { readFileSync } from "fs";
import { chromium } from "playwright-core";

const [, , executablePath, address, what] = process.argv;
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const errors = [];

async function open(viewport, colorScheme = "light", more = {}) {
  const context = await browser.newContext({ viewport, colorScheme, ...more });
  const page = await context.newPage();
  page.on("pageerror", error => errors.push(error.message));
  page.on("console", message => message.type() === "error" && errors.push(message.text()));
  return page;
}
const unfold = page => page.evaluate(() => document.querySelectorAll("details").forEach(d => { d.open = true; }));
// A column is lost if a cell of the first row, or its head where heads are shown, is not wholly inside.
const lost = page => page.evaluate(() => {
  const out = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width + 1) out.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const table of document.querySelectorAll("table")) {
    const box = (table.closest(".scroll") || table.parentElement).getBoundingClientRect(), right = Math.min(box.right, width) + 1;
    const heads = [...table.tHead.rows[0].cells], cards = getComputedStyle(table.tHead).display === "none";
    const cells = table.tBodies[0].rows.length ? [...table.tBodies[0].rows[0].cells] : [];
    heads.forEach((head, i) => {
      const shown = cards ? cells[i] : head;
      if (!shown || cards && !cells[i].textContent.trim()) return;
      const at = shown.getBoundingClientRect();
      const told = cards ? shown.dataset.label === head.textContent.trim() : true;
      if (at.width < 1 || at.left < box.left - 1 || at.right > right || shown.scrollWidth > shown.clientWidth + 2 || !told) out.push(`${head.textContent.trim()} of ${table.caption.textContent.slice(0, 40)}`);
    });
  }
  return out;
});
const violations = async page => {
  await page.evaluate(axe);
  return page.evaluate(async () => (await window.axe.run()).violations.map(v => `${v.id} (${v.nodes.length}): ${v.nodes[0].target}`));
};
const found = {};

if (what === "small") {
  found.axe = {};
  found.lost = {};
  for (const [mode, viewport, scheme] of [["light", { width: 1440, height: 900 }, "light"], ["dark", { width: 1440, height: 900 }, "dark"], ["phone", { width: 390, height: 844 }, "light"]]) {
    // axe is put into the page, which the page's own policy would refuse.
    const page = await open(viewport, scheme, { bypassCSP: true });
    await page.goto(address);
    await page.waitForSelector("#runs tbody tr");
    await unfold(page);
    found.lost[mode] = await lost(page);
    found.axe[mode] = await violations(page);
    await page.context().close();
  }
  // A4 with the margins that Chromium prints with, in CSS pixels.
  const paper = await open({ width: 718, height: 1000 });
  await paper.emulateMedia({ media: "print" });
  await paper.goto(address);
  await paper.waitForSelector("#runs tbody tr", { state: "attached" });
  const closed = await paper.evaluate(() => [...document.querySelectorAll("details:not([open])")].length);
  const printed = await paper.evaluate(() => [...document.querySelectorAll("details:not([open])")].filter(d => [...d.children].filter(c => getComputedStyle(c).display !== "none").every(c => c.getBoundingClientRect().height > 0 && c.checkVisibility({ contentVisibilityAuto: true }))).length);
  found.details = { closed, printed };
  found.lost.print = await lost(paper);
  await paper.context().close();

  const page = await open({ width: 1440, height: 900 });
  await page.goto(address);
  await page.waitForSelector("#runs tbody tr");
  await unfold(page);
  // Every different link from a number, followed: it must list records.
  const links = await page.evaluate(() => [...new Set([...document.querySelectorAll("a[href^='#records?']")].map(a => a.getAttribute("href")))]);
  const empty = [];
  for (const link of links) {
    await page.evaluate(href => { document.querySelector("#behind-text").textContent = ""; document.querySelector(`a[href="${href}"]`).click(); }, link);
    await page.waitForFunction(() => document.querySelector("#behind-text").textContent !== "");
    const rows = await page.evaluate(() => document.querySelectorAll("#behind tbody tr").length);
    if (!rows) empty.push(link);
  }
  let clicks = 0;
  const click = async selector => { clicks += 1; await page.locator(selector).first().click(); };
  await click("#verdict a[href^='#records?']");
  await page.waitForSelector("#behind tbody tr");
  const records = clicks;
  await click("#behind tbody tr a[href^='#examples?']");
  await page.waitForSelector("#shown tbody tr");
  found.clicks = { links: links.length, empty, records, example: clicks, shown: await page.locator("#shown tbody tr").count(), command: await page.locator("#shown-commands code").first().textContent() };

  // Sorting moves rows, a filter hides them, and the copy is what is seen.
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]).catch(() => {});
  found.tables = await page.evaluate(async () => {
    const tables = [...document.querySelectorAll(".scroll > table")].filter(t => t.tBodies[0].rows.length > 1);
    let working = 0;
    for (const table of tables) {
      const bar = table.parentElement.previousElementSibling, body = table.tBodies[0], column = 0;
      const texts = () => [...body.rows].map(row => row.cells[column].textContent.trim());
      const before = texts();
      const button = table.tHead.rows[0].cells[column].querySelector("button");
      button.click();
      const up = texts();
      button.click();
      const down = texts(), sorted = up.join() !== down.join() || new Set(before).size === 1;
      const filter = bar.querySelector("input[type=search]"), word = down[0];
      filter.value = word;
      filter.dispatchEvent(new Event("input"));
      const seen = [...body.rows].filter(row => !row.hidden);
      const filtered = seen.length > 0 && seen.every(row => word.toLowerCase().split(/\s+/).every(part => row.textContent.toLowerCase().includes(part)));
      let copied = "";
      navigator.clipboard.writeText = async text => { copied = text; };
      [...bar.querySelectorAll("button")].pop().click();
      await new Promise(done => setTimeout(done, 5));
      const lines = copied.trim().split("\n").length;
      filter.value = "";
      filter.dispatchEvent(new Event("input"));
      working += sorted && filtered && lines === seen.length + 1;
    }
    return { all: tables.length, working };
  });
  // What is chosen stands in the address, and the address chooses it.
  const input = page.locator("#pick-language");
  await input.fill("yor");
  await input.dispatchEvent("change");
  await page.waitForFunction(() => location.hash.includes("language=yo"));
  const hash = await page.evaluate(() => location.hash);
  const again = await open({ width: 1440, height: 900 });
  await again.goto(address + hash);
  await again.waitForSelector("#runs tbody tr");
  const text = await again.locator("#explore-text").textContent();
  found.address = hash.includes("language=yo") && text.startsWith("Yoruba") ? "yes" : `no: ${hash}, ${text}`;
} else {
  const times = [];
  for (let i = 0; i < 5; i += 1) {
    const page = await open({ width: 1440, height: 900 });
    const start = Date.now();
    await page.goto(address, { waitUntil: "load" });
    times.push((Date.now() - start) / 1000);
    if (i === 4) {
      const began = Date.now();
      await page.evaluate(() => { location.hash = "#explore?language=sw&target=target_07&arm=task_11"; });
      await page.waitForFunction(() => document.querySelector("#explore-text").textContent.includes("target_07"), null, { timeout: 60000 });
      found.draw = (Date.now() - began) / 1000;
    }
    await page.context().close();
  }
  found.load = times.sort((a, b) => a - b)[2];
}
await browser.close();
if (errors.length) throw new Error("the page complains: " + [...new Set(errors)].join("; "));
console.log(JSON.stringify(found));
