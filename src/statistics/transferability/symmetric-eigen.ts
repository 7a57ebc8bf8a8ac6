/** Eigenvalues of a symmetric matrix in falling order, and its eigenvectors as the columns of an n x n matrix, row by row. */
export interface SymmetricEigen {
  values: Float64Array;
  vectors: Float64Array;
}

/**
 * The eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction to three diagonals, then implicit QL
 * (EISPACK's tred2 and tql2; Bowdler, Martin, Reinsch & Wilkinson 1968).
 *
 * @param matrix n x n, row by row; only that it is symmetric is believed
 */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  // One row of `rows` is a column of the matrix of vectors: what both loops go along lies side by side.
  const rows = Array.from({ length: n }, (_, i) => Float64Array.from(matrix.subarray(i * n, (i + 1) * n)));
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  const vectors = reduce(rows, diagonal, beside, n);
  iterate(vectors, diagonal, beside, n);
  const order = Array.from(diagonal.keys()).sort((a, b) => at(diagonal, b) - at(diagonal, a));
  const sorted = new Float64Array(n * n);
  for (const [column, from] of order.entries()) {
    const vector = vectors[from] as Float64Array;
    for (let row = 0; row < n; row++) sorted[row * n + column] = at(vector, row);
  }
  return { values: Float64Array.from(order, (index) => at(diagonal, index)), vectors: sorted };
}

const at = (values: Float64Array, index: number): number => values[index] as number;

/** To three diagonals, by a reflection a row from the last to the second; gives the product of the reflections, column by column. */
function reduce(a: Float64Array[], diagonal: Float64Array, beside: Float64Array, n: number): Float64Array[] {
  const reflections: { vector: Float64Array; half: number }[] = [];
  for (let i = n - 1; i > 0; i--) {
    const row = a[i] as Float64Array;
    let scale = 0;
    for (let k = 0; k < i; k++) scale = Math.max(scale, Math.abs(at(row, k)));
    // What is left of the row beside its last element is rounding: nothing to reflect.
    const last = at(row, i - 1);
    let rest = 0;
    for (let k = 0; k < i - 1; k++) rest = Math.max(rest, Math.abs(at(row, k)));
    if (scale === 0 || rest === 0) {
      beside[i] = last;
      continue;
    }
    const vector = new Float64Array(i);
    let squares = 0;
    for (let k = 0; k < i; k++) {
      vector[k] = at(row, k) / scale;
      squares += at(vector, k) ** 2;
    }
    const first = at(vector, i - 1);
    const length = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares);
    beside[i] = scale * length;
    const half = squares - first * length;
    vector[i - 1] = first - length;
    // p = A v / half, then A becomes A - v q' - q v', q = p - v (v' p) / (2 half).
    const p = new Float64Array(i);
    for (let j = 0; j < i; j++) {
      const line = a[j] as Float64Array;
      let sum = 0;
      for (let k = 0; k < i; k++) sum += at(line, k) * at(vector, k);
      p[j] = sum / half;
    }
    let along = 0;
    for (let k = 0; k < i; k++) along += at(vector, k) * at(p, k);
    along /= 2 * half;
    for (let k = 0; k < i; k++) p[k] = at(p, k) - along * at(vector, k);
    for (let j = 0; j < i; j++) {
      const line = a[j] as Float64Array;
      const [v, q] = [at(vector, j), at(p, j)];
      for (let k = 0; k < i; k++) line[k] = at(line, k) - v * at(p, k) - q * at(vector, k);
    }
    reflections.push({ vector, half });
  }
  for (let i = 0; i < n; i++) diagonal[i] = at(a[i] as Float64Array, i);
  const columns = Array.from({ length: n }, (_, i) => {
    const unit = new Float64Array(n);
    unit[i] = 1;
    return unit;
  });
  // The reflection made last is applied first.
  for (const { vector, half } of reflections.reverse()) {
    for (const column of columns) {
      let sum = 0;
      for (let k = 0; k < vector.length; k++) sum += at(vector, k) * at(column, k);
      if (sum === 0) continue;
      sum /= half;
      for (let k = 0; k < vector.length; k++) column[k] = at(column, k) - sum * at(vector, k);
    }
  }
  return columns;
}

const mostSteps = 100;

/** Rotates until nothing is left beside the diagonal. */
function iterate(columns: Float64Array[], diagonal: Float64Array, beside: Float64Array, n: number): void {
  for (let i = 1; i < n; i++) beside[i - 1] = at(beside, i);
  if (n > 0) beside[n - 1] = 0;
  for (let l = 0; l < n; l++) {
    for (let step = 0; step < mostSteps; step++) {
      let m = l;
      for (; m < n - 1; m++) {
        const around = Math.abs(at(diagonal, m)) + Math.abs(at(diagonal, m + 1));
        if (Math.abs(at(beside, m)) <= Number.EPSILON * around) break;
      }
      if (m === l) break;
      let g = (at(diagonal, l + 1) - at(diagonal, l)) / (2 * at(beside, l));
      let r = Math.hypot(g, 1);
      g = at(diagonal, m) - at(diagonal, l) + at(beside, l) / (g + (g >= 0 ? r : -r));
      let [sine, cosine, shift] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = sine * at(beside, i);
        const b = cosine * at(beside, i);
        r = Math.hypot(f, g);
        beside[i + 1] = r;
        if (r === 0) {
          diagonal[i + 1] = at(diagonal, i + 1) - shift;
          beside[m] = 0;
          break;
        }
        sine = f / r;
        cosine = g / r;
        g = at(diagonal, i + 1) - shift;
        r = (at(diagonal, i) - g) * sine + 2 * cosine * b;
        shift = sine * r;
        diagonal[i + 1] = g + shift;
        g = cosine * r - b;
        const [lower, upper] = [columns[i] as Float64Array, columns[i + 1] as Float64Array];
        for (let k = 0; k < n; k++) {
          const u = at(upper, k);
          const v = at(lower, k);
          upper[k] = sine * v + cosine * u;
          lower[k] = cosine * v - sine * u;
        }
      }
      if (r === 0 && i >= l) continue;
      diagonal[l] = at(diagonal, l) - shift;
      beside[l] = g;
      beside[m] = 0;
    }
  }
}
