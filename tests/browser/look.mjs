// Opens reports in Chromium and prints what it saw as JSON: an object for each report, by its name.
//
// Usage: look.mjs MODULES SCREENS REPORT.html…
//   MODULES: the folder with node_modules.  SCREENS: where the screenshots go, as NAME-WIDTH-SCHEME.png.
import { readFileSync } from "node:fs";
import path from "node:path";

import { launch, open, require } from "./browser.mjs";

const [modules, screens, ...reports] = process.argv.slice(2);
const browser = await launch(modules);
const axe = readFileSync(require(modules).resolve("axe-core/axe.min.js"), "utf8");

const tipOf = (page) => page.$eval("#tip", (tip) => (tip.hidden ? null : tip.textContent));

const openAll = (page) =>
  page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));

/** Uses the page as a reader does. What is not on the page is `undefined`. */
async function use(page) {
  const done = {};
  const cell = await page.$("[data-partition]");
  if (cell) {
    await cell.hover();
    done.cellTip = await tipOf(page);
    await page.evaluate(() => {
      navigator.clipboard.writeText = async (text) => { window.copied = text; };
    });
    await cell.click();
    done.copied = await page.evaluate(() => window.copied);
    await cell.focus();
    await page.keyboard.press("ArrowDown");
    done.focused = await page.evaluate(() => document.activeElement.dataset.partition);
    const colors = () => page.$$eval("[data-partition]", (cells) => cells.map((it) => getComputedStyle(it).backgroundColor).join());
    const shown = [await colors()];
    for (const mode of ["rows", "age", "rescued"]) {
      const radio = await page.$(`.heat input[value=${mode}]`);
      await radio?.click();
      if (radio) shown.push(await colors());
    }
    done.nViews = new Set(shown).size;
  }
  const chart = await page.$(".chart svg");
  if (chart) {
    await chart.hover();
    done.chartTip = await tipOf(page);
  }
  const slider = await page.$(".map input:not([disabled])");
  if (slider) {
    await slider.focus();
    await page.keyboard.press("Home");
    done.firstYear = await page.$eval(".map output", (output) => output.textContent);
  }
  const tile = await page.$(".tile[aria-label^=California]");
  if (tile) {
    await tile.hover();
    done.tileTip = await tipOf(page);
  }
  const missing = await page.$(".shares-of input[value='1']");
  if (missing) {
    const shares = () => page.$$eval("[data-shares]", (cells) => cells.slice(0, 3).map((it) => it.textContent).join(" "));
    done.allShares = await shares();
    await missing.click();
    done.missingShares = await shares();
  }
  return done;
}

/** Returns the findings of axe-core that are serious or worse. */
async function check(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return serious.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)} (${nodes.length})`);
}

const all = {};
for (const file of reports) {
  const seen = { console: [], requests: [], tooWide: [], axe: [] };
  for (const width of [1200, 400]) {
    for (const scheme of ["light", "dark"]) {
      const page = await open(browser, file, { width, height: 800 }, scheme, (page) => {
        page.on("console", (message) => seen.console.push(message.text()));
        page.on("pageerror", (error) => seen.console.push(String(error)));
        page.on("request", (request) => seen.requests.push(request.url()));
      });
      const scrolled = await page.evaluate(() => document.documentElement.scrollWidth);
      if (scrolled > width) seen.tooWide.push(`${width}: ${scrolled}`);
      const screen = path.join(screens, `${path.basename(file, ".html")}-${width}-${scheme}.png`);
      await page.screenshot({ path: screen, fullPage: true });
      if (width === 1200 && scheme === "light") {
        seen.title = await page.title();
        seen.text = await page.evaluate(() => document.body.innerText);
        seen.nCells = (await page.$$("[data-partition]")).length;
        seen.links = await page.$$eval("[href], [src]", (all) => all.map((it) => it.getAttribute("href") ?? it.getAttribute("src")));
        await openAll(page);
        seen.used = await use(page);
      }
      await openAll(page);
      seen.axe.push(...(await check(page)));
      await page.close();
    }
  }
  all[path.basename(file, ".html")] = seen;
}
await browser.close();
console.log(JSON.stringify(all));
