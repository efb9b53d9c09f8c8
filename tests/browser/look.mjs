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

/** Returns the findings of axe-core, the minor ones excepted. */
async function check(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.filter(({ impact }) => impact !== "minor");
  return found.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)} (${nodes.length})`);
}

/** Taps a cell twice, and a chart, as on a phone. */
async function tap(page) {
  const done = {};
  const cell = await page.$("[data-partition]");
  if (cell) {
    await page.evaluate(() => {
      navigator.clipboard.writeText = async (text) => { window.copied = text; };
    });
    await cell.tap();
    done.first = await tipOf(page);
    done.copiedFirst = (await page.evaluate(() => window.copied)) ?? null;
    await cell.tap();
    done.copied = await page.evaluate(() => window.copied);
  }
  const chart = await page.$(".chart svg");
  if (chart) {
    await chart.tap();
    done.chart = await tipOf(page);
  }
  return done;
}

const all = {};
for (const file of reports) {
  const name = path.basename(file, ".html");
  const seen = { console: [], requests: [], tooWide: [], axe: [] };
  for (const width of [1200, 400]) {
    for (const scheme of ["light", "dark"]) {
      const size = { width, height: 800, hasTouch: width === 400 };
      const page = await open(browser, file, size, scheme, (page) => {
        page.on("console", (message) => seen.console.push(message.text()));
        page.on("pageerror", (error) => seen.console.push(String(error)));
        page.on("request", (request) => seen.requests.push(request.url()));
      });
      const measure = async () => {
        const scrolled = await page.evaluate(() => document.documentElement.scrollWidth);
        if (scrolled > width) seen.tooWide.push(`${width}: ${scrolled}`);
      };
      await measure();
      await page.screenshot({ path: path.join(screens, `${name}-${width}-${scheme}.png`), fullPage: true });
      if (width === 1200 && scheme === "light") {
        seen.title = await page.title();
        seen.text = await page.evaluate(() => document.body.innerText);
        seen.policy = await page.$eval("meta[http-equiv]", (meta) => meta.content);
        seen.nCells = (await page.$$("[data-partition]")).length;
        seen.links = await page.$$eval("[href], [src]", (all) => all.map((it) => it.getAttribute("href") ?? it.getAttribute("src")));
      }
      await openAll(page);
      await measure();
      seen.axe.push(...(await check(page)));
      if (width === 1200) seen.used = await use(page);
      else seen.tapped = await tap(page);
      seen.axe.push(...(await check(page)));
      await page.close();
    }
  }
  all[name] = seen;
}
await browser.close();
console.log(JSON.stringify(all));
