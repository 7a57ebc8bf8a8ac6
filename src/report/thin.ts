/**
 * A curve with fewer points and the same shape: of each stretch its lowest and its highest point, and the two ends. What
 * is short enough stays as it is.
 */
export function thinCurve<Point>(
  points: readonly Point[],
  most: number,
  of: (point: Point) => number,
): readonly Point[] {
  if (points.length <= most) return points;
  const stretches = Math.max(1, Math.floor((most - 2) / 2));
  const inner = points.length - 2;
  const kept = [points[0] as Point];
  for (let stretch = 0; stretch < stretches; stretch++) {
    const from = 1 + Math.floor((stretch * inner) / stretches);
    const to = 1 + Math.floor(((stretch + 1) * inner) / stretches);
    let [low, high] = [from, from];
    for (let index = from + 1; index < to; index++) {
      if (of(points[index] as Point) < of(points[low] as Point)) low = index;
      if (of(points[index] as Point) > of(points[high] as Point)) high = index;
    }
    kept.push(points[Math.min(low, high)] as Point);
    if (low !== high) kept.push(points[Math.max(low, high)] as Point);
  }
  kept.push(points.at(-1) as Point);
  return kept;
}

/** As many of a list in order of `of` as may be shown, evenly spread, the lowest and the highest among them. */
export function evenlySpread<Item>(
  items: readonly Item[],
  most: number,
  of: (item: Item) => number,
): readonly Item[] {
  if (items.length <= most) return items;
  const sorted = [...items].sort((a, b) => of(a) - of(b));
  return Array.from(
    { length: most },
    (_, index) => sorted[Math.round((index * (sorted.length - 1)) / (most - 1))] as Item,
  );
}
