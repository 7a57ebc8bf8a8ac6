/** `41 s`, `3 min 05 s`, `2 h 07 min`, `57,723 h`: a duration as a person reads it. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const padded = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  if (whole >= 360_000) return `${Math.round(whole / 3600).toLocaleString("en-US")} h`;
  return `${Math.floor(whole / 3600)} h ${padded(Math.floor((whole % 3600) / 60))} min`;
}

/** `12.3 GB`, `850 MB`: a number of bytes, in powers of ten. */
export function bytes(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  return `${Math.round(count / 1e6)} MB`;
}

/** Four significant digits at most, without an exponent where a person would write none. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "not a number";
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e6)) return value.toExponential(2);
  return value.toFixed(magnitude >= 100 ? 1 : magnitude >= 10 ? 2 : 3);
}

/**
 * Columns of text under their headings, two spaces apart. A column whose cells below the heading all begin with a
 * digit, a sign or a dash is set to the right, so that numbers line up.
 */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows];
  const columns = heading.map((_, column) => ({
    width: lines.reduce((widest, line) => Math.max(widest, (line[column] ?? "").length), 0),
    numeric: rows.every((line) => /^[-+–\d]/.test(line[column] ?? "–")),
  }));
  return lines
    .map((line) =>
      columns
        .map(({ width, numeric }, column) => {
          const cell = line[column] ?? "";
          return numeric ? cell.padStart(width) : cell.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `1 case`, `2 cases`. */
export const count = (many: number, noun: string): string => `${many} ${noun}${many === 1 ? "" : "s"}`;

/**
 * Text from outside (names of cases and files, reasons), with control characters shown as escapes: a terminal must
 * not obey a manifest.
 */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
