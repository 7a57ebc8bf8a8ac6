/**
 * HTML that escapes by default: whatever is put into an `html` template is text, unless it came out of one.
 */

const secret = Symbol("html");

/** Markup that is safe to put into the page. Only `html` and `trusted` make it. */
export class Html {
  readonly [secret] = true;
  readonly #markup: string;

  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** What a template takes: markup, text, numbers, lists of these; null, undefined and false leave nothing. */
export type Part = Html | string | number | null | undefined | false | readonly Part[];

/**
 * @example
 * html`<td title="${reason}">${name}</td>`   // reason and name are escaped, in text and in quoted attributes alike
 */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  let markup = strings[0] as string;
  parts.forEach((part, index) => {
    markup += render(part) + (strings[index + 1] as string);
  });
  return new Html(markup);
}

/** Markup that this package made itself (a drawn figure, the style sheet). Never give it text from outside. */
export function trusted(markup: string): Html {
  return new Html(markup);
}

function render(part: Part): string {
  if (part === null || part === undefined || part === false) return "";
  if (part instanceof Html) return part.toString();
  if (typeof part === "string") return escapeText(part);
  if (typeof part === "number") return escapeText(String(part));
  return part.map(render).join("");
}

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it may stand between tags or in a quoted attribute. */
export function escapeText(text: string): string {
  return plain(text).replace(/[&<>"']/g, (character) => entities[character] as string);
}

// Control characters, those that turn the direction of text around, and half surrogates, which no XML may hold.
const unprintable =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;

/** `text` without characters that cannot be seen but change what is shown; each becomes U+FFFD. */
export function plain(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd").replace(unprintable, "\ufffd"); // /u: only halves without a partner
}
