/** Bytes as a link target or image source that holds them itself. */
export function bytesUri(type: string, contents: Uint8Array): string {
  return `data:${type};base64,${Buffer.from(contents).toString("base64")}`;
}

/** Text likewise, only escaped where it must be: shorter than base64. */
export function textUri(type: string, contents: string): string {
  return `data:${type};charset=utf-8,${contents.replace(/[^ !$(-;=@-Z_a-z~]/gu, encodeURIComponent)}`;
}

/** Gives the text as a link target, or null where the page has no room left for it. */
export type Embed = (type: string, contents: string) => string | null;
