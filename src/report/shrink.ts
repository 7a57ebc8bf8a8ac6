/**
 * Vega's SVG with the same picture in fewer bytes: a paper-sized study draws some ten thousand points, and each figure
 * stands in the page twice (shown, and to be saved).
 */
export function shrink(markup: string, id: string): string {
  const slim = markup
    .replace(/<path class="(?:background|foreground)"[^>]*d="(?:M0,0h0v0h0Z)?"[^>]*\/>/g, "")
    .replace(/<text [^>]*opacity="0"[^>]*>[^<]*<\/text>/g, "")
    .replace(/<[^>]+>/g, (tag) =>
      tag
        .replace(/ (?:role|aria-[a-z]+|pointer-events)="[^"]*"/g, "")
        .replace(/ opacity="1"/g, "")
        .replace(/-?\d+\.\d{3,}(?:e-\d+)?/g, (number) => String(Math.round(Number(number) * 100) / 100)),
    );
  return shareSymbols(slim, id);
}

const symbol = /<path transform="translate\(([-\d.]+),([-\d.]+)\)" (d="[^"]{24,}"[^>]*)\/>/g;

/** Draws each symbol once, in `defs`, and places it by reference where it stands more than three times. */
function shareSymbols(markup: string, id: string): string {
  const uses = new Map<string, number>();
  for (const [, , , drawing] of markup.matchAll(symbol))
    uses.set(drawing as string, (uses.get(drawing as string) ?? 0) + 1);
  const shared = [...uses].filter(([, number]) => number > 3).map(([drawing]) => drawing);
  if (shared.length === 0) return markup;
  const definitions = shared.map((drawing, index) => `<path id="${id}-s${index}" ${drawing}/>`).join("");
  const placed = markup.replace(symbol, (whole, x: string, y: string, drawing: string) => {
    const index = shared.indexOf(drawing);
    return index < 0 ? whole : `<use href="#${id}-s${index}" x="${x}" y="${y}"/>`;
  });
  return `<defs>${definitions}</defs>${placed}`;
}
