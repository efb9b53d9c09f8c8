// Starts Chromium, and opens files in it.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** Returns what loads the packages in a folder with node_modules. */
export const require = (modules) => createRequire(path.join(path.resolve(modules), "package.json"));

export async function launch(modules) {
  const load = (name) => require(modules)(name).default ?? require(modules)(name);
  const [chromium, puppeteer] = [load("@sparticuz/chromium"), load("puppeteer-core")];
  const executablePath = await chromium.executablePath();
  return puppeteer.launch({ args: [...chromium.args, "--no-sandbox"], executablePath, headless: "shell" });
}

/** Opens a file in a page of a size and a color scheme; `prepare` is called with the page before. */
export async function open(browser, file, size, scheme, prepare = () => {}) {
  const page = await browser.newPage();
  prepare(page);
  await page.setViewport(size);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(pathToFileURL(file).href);
  return page;
}
