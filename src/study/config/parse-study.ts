import { type Document, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { describe, messageOf, TransferLimitsError } from "../../common/errors.js";

/** Far more than any study has; a larger file is something else. */
export const mostStudyBytes = 4 * 1024 * 1024;
export const mostStudyKeys = 100_000;
const mostAliases = 100;

/** A study file as plain values, with what tells at which line each of them stands. */
export interface ParsedStudy {
  document: Document;
  lines: LineCounter;
  input: unknown;
}

/** @throws `BAD_CONFIG` for what is not YAML, with line and column, and for more keys or aliases than a study has */
export function parseStudy(text: string, path: string): ParsedStudy {
  const lines = new LineCounter();
  const notYaml = (position: number, reason: string, cause?: unknown) => {
    const { line, col } = lines.linePos(position);
    return new TransferLimitsError(
      "BAD_CONFIG",
      `${path} is not YAML: line ${line}, column ${col}: ${reason}`,
      { cause },
    );
  };
  const notStudy = (cause: unknown) =>
    new TransferLimitsError("BAD_CONFIG", `${path} is not a study: ${messageOf(cause)}`, { cause });
  let document: Document;
  try {
    // The library compares each key with all before it; `refuseUnusual` does it in one pass.
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  } catch (error) {
    throw notStudy(error); // such as one that is nested deeper than the stack
  }
  const [error] = document.errors;
  if (error) throw notYaml(error.pos[0], error.message);
  try {
    refuseUnusual(document, notYaml);
    return { document, lines, input: document.toJS({ maxAliasCount: mostAliases }) };
  } catch (error) {
    throw error instanceof TransferLimitsError ? error : notStudy(error);
  }
}

/** Refuses keys that stand twice in a table, and what no study needs: masses of keys and of aliases. */
function refuseUnusual(document: Document, refuse: (position: number, reason: string) => Error): void {
  let keys = 0;
  let aliases = 0;
  visit(document, {
    Map(_, { items }) {
      keys += items.length;
      if (keys > mostStudyKeys) throw new Error(`it has more than ${mostStudyKeys} keys`);
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value))
          throw refuse(
            key.range?.[0] ?? 0,
            `Map keys must be unique, but ${describe(key.value)} stands here again`,
          );
        seen.add(key.value);
      }
    },
    Alias() {
      aliases++;
      if (aliases > mostAliases) throw new Error(`it has more than ${mostAliases} aliases`);
    },
  });
}
