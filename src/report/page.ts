import { createHash } from "node:crypto";
import { type Html, html, trusted } from "./html.js";
import { script } from "./script.js";
import { style } from "./style.js";

const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/**
 * What the page may do: run this one script, use this one style sheet, show images that it holds. It loads nothing,
 * sends nothing, and no other script or style attribute in it has any effect.
 */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "img-src data:",
  `style-src ${hash(style)}`,
  `script-src ${hash(script)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

export interface Link {
  id: string;
  label: string;
}

/** The whole page as one document. */
export function page(
  title: string,
  answer: Html,
  links: readonly Link[],
  sections: readonly Html[],
  footer: Html,
): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title} · transfer study</title>
<style>${trusted(style)}</style>
</head>
<body>
<nav aria-label="Contents"><ul>${links.map(({ id, label }) => html`<li><a href="#${id}">${label}</a></li>`)}</ul></nav>
<main>
${answer}
${sections.map((section) => html`${section}\n`)}</main>
<footer>${footer}</footer>
<script>${trusted(script)}</script>
</body>
</html>
`;
  return document.toString();
}
