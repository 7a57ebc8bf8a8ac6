import { textUri } from "./data-uri.js";
import { drawFigure, type Figure } from "./figures/figure.js";
import type { Html } from "./html.js";
import { drawTable, type Table } from "./table.js";

/** Bytes of figures and tables that the page holds so that they can be saved when it travels alone. */
const embeddingBudget = 2_500_000;

/** Collects what sections draw, so that each figure and table also gets its files beside the page. */
export class Assets {
  /** Path below the study's folder to contents. */
  readonly files = new Map<string, string>();

  #embedded = 0; // bytes so far

  /** A text as a link target, as long as the page has room for such. */
  readonly embed = (type: string, contents: string): string | null => {
    if (this.#embedded + contents.length > embeddingBudget) return null; // it only grows when it is escaped
    const uri = textUri(type, contents);
    if (this.#embedded + uri.length > embeddingBudget) return null;
    this.#embedded += uri.length;
    return uri;
  };

  /** Draws a figure and keeps its files; nothing where there is nothing to draw. */
  async figure(figure: Figure | null): Promise<Html | null> {
    if (figure === null) return null;
    const drawn = await drawFigure(figure, this.embed);
    for (const [name, svg] of drawn.svgs) this.files.set(`figures/${name}.svg`, svg);
    this.files.set(`figures/${drawn.name}.csv`, drawn.csv);
    return drawn.html;
  }

  table(table: Table): Html {
    const drawn = drawTable(table, this.embed);
    this.files.set(`tables/${drawn.name}.csv`, drawn.csv);
    return drawn.html;
  }
}
