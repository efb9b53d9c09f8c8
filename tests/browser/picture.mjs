// Takes a picture of the upper part of a page.
//
// Usage: picture.mjs MODULES REPORT.html PICTURE.png
import { launch, open } from "./browser.mjs";

const [modules, report, picture] = process.argv.slice(2);
const browser = await launch(modules);
const page = await open(browser, report, { width: 1200, height: 1150 }, "light");
await page.screenshot({ path: picture });
await browser.close();
