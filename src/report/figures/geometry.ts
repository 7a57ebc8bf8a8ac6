/** Boxes and lines in pixels, y downwards. */
export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export type Line = readonly [x1: number, y1: number, x2: number, y2: number];

export const boxAround = (x: number, y: number, radius: number): Box => ({
  left: x - radius,
  right: x + radius,
  top: y - radius,
  bottom: y + radius,
});

/** Square pixels that two boxes share. */
export function shared(one: Box, other: Box): number {
  const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  return Math.max(0, across) * Math.max(0, down);
}

/** Whether two lines cross; lines that begin in one point do not. */
export function crosses(one: Line, other: Line): boolean {
  const side = (line: Line, x: number, y: number) =>
    Math.sign((line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0]));
  return (
    side(one, other[0], other[1]) * side(one, other[2], other[3]) < 0 &&
    side(other, one[0], one[1]) * side(other, one[2], one[3]) < 0
  );
}

/** Whether a line runs through a box. */
export function touches(line: Line, { left, right, top, bottom }: Box): boolean {
  const [x1, y1, x2, y2] = line;
  if (Math.max(x1, x2) < left || Math.min(x1, x2) > right) return false;
  if (Math.max(y1, y2) < top || Math.min(y1, y2) > bottom) return false;
  const inside = (x: number, y: number) => x > left && x < right && y > top && y < bottom;
  return (
    inside(x1, y1) ||
    inside(x2, y2) ||
    crosses(line, [left, top, right, bottom]) ||
    crosses(line, [left, bottom, right, top])
  );
}
