// Opens each kind of page of the built site in Chromium, narrow and wide, light and dark, and fails for an error of a script,
// a page that scrolls sideways, a search without the right page, and violations of accessibility rules (axe-core):
//
//     node site/browser_test.mjs target/site [folder for screenshots]
import { readFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";

const PAGES = {
    home: "index.html",
    tutorial: "tutorials/stripe-fastapi.html",
    howto: "how-to/mtls.html",
    concept: "concepts/request-lifecycle.html",
    reference: "reference/configuration/listeners.html",
    reasons: "reference/reasons.html",
    runbook: "operate/runbook.html",
    evidence: "attacks.html",
    glossary: "glossary.html",
    search: "index.html?search=rate%20limit",
};
const WIDTHS = { narrow: 390, wide: 1400 };
const THEMES = ["light", "navy"];
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };

const [site = "target/site", pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    try {
        const content = readFileSync(join(site, path));
        response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" }).end(content);
    } catch {
        response.writeHead(404).end();
    }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    timeout: 300_000,
});
if (pictures) {
    mkdirSync(pictures, { recursive: true });
}

const failures = [];
for (const [size, width] of Object.entries(WIDTHS)) {
    for (const theme of THEMES) {
        const context = await browser.newContext({ viewport: { width, height: 900 } });
        // A busy machine takes its time; no result depends on it.
        context.setDefaultTimeout(300_000);
        await context.addInitScript((name) => localStorage.setItem("mdbook-theme", name), theme);
        for (const [name, path] of Object.entries(PAGES)) {
            const title = `${name}-${size}-${theme}`;
            const page = await context.newPage();
            page.on("pageerror", (error) => failures.push(`${title}: ${error.message}`));
            page.on("response", (answer) => answer.ok() || failures.push(`${title}: ${answer.status()} ${answer.url()}`));
            await page.goto(`${address}/${path}`, { waitUntil: "load" });
            if (name === "search") {
                await page.waitForSelector("#mdbook-searchresults li");
                const first = await page.locator("#mdbook-searchresults li a").allTextContents();
                first.slice(0, 3).some((text) => /rate limit/i.test(text)) || failures.push(`${title}: ${first.slice(0, 3)}`);
            }
            if (name === "concept") {
                await page.waitForSelector(".mermaid[data-processed] svg");
            }
            const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
            over > 0 && failures.push(`${title}: scrolls sideways by ${over} px`);
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => axe.run(document.querySelector("main"), { runOnly: ["wcag2a", "wcag2aa"] }));
            for (const { id, nodes } of violations) {
                failures.push(`${title}: ${id}, ${nodes.length} times, such as ${nodes[0].html.slice(0, 120)}`);
            }
            if (pictures) {
                await page.screenshot({ path: join(pictures, `${title}.png`) });
            }
            await page.close();
        }
        await context.close();
    }
}
await browser.close();
server.close();
console.log(failures.join("\n") || `${Object.keys(PAGES).length} pages in ${THEMES.length} themes and 2 widths: ok`);
process.exit(failures.length ? 1 : 0);
