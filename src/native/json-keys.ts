const [quote, backslash, colon] = [0x22, 0x5c, 0x3a];
const [openBrace, openBracket, closeBrace, closeBracket] = [0x7b, 0x5b, 0x7d, 0x5d];

/**
 * How many keys the tables of a JSON text have: the outermost one, and all that lie in it. The bytes alone are looked at,
 * so that a text with masses of keys costs nothing but this: read, each takes hundreds of bytes.
 */
export function countKeys(json: Uint8Array): { outer: number; inner: number } {
  const keys = { outer: 0, inner: 0 };
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === quote) at = endOfText(json, at);
    else if (byte === openBrace || byte === openBracket) depth++;
    else if (byte === closeBrace || byte === closeBracket) depth--;
    else if (byte === colon) keys[depth === 1 ? "outer" : "inner"]++;
  }
  return keys;
}

/** Where the text that begins at `start` ends, or the bytes do. */
function endOfText(json: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== quote) at += json[at] === backslash ? 2 : 1;
  return at;
}
