import type { Triple } from "./geometry.js";

/** A superellipsoid, |x/a|^p + |y/b|^p + |z/c|^p <= 1, in mm and the patient's axes. */
export interface Shape {
  centre: Triple;
  radii: Triple;
  /** About z, in degrees. Default 0. */
  rotation?: number;
  /** The power p. Default 2: an ellipsoid. */
  roundness?: number;
}

/** The same shape with radii larger by so many mm, or smaller. */
export const grown = (shape: Shape, by: number): Shape => ({
  ...shape,
  radii: shape.radii.map((radius) => radius + by) as unknown as Triple,
});

/** The shape on the patient's other side. */
export const mirrored = (shape: Shape): Shape => ({
  ...shape,
  centre: [-shape.centre[0], shape.centre[1], shape.centre[2]],
  rotation: -(shape.rotation ?? 0),
});

/**
 * A place in the peripheral zone: `depth` mm inside the capsule, in the direction `degrees` from the back (positive to
 * the left), at `level` (-1 apex to 1 base); turned so that the first axis runs along the capsule.
 */
export function besideCapsule(gland: Shape, degrees: number, level: number, depth: number) {
  const angle = (degrees * Math.PI) / 180;
  const height = Math.max(-0.6, Math.min(0.6, level));
  const narrowing = Math.sqrt(1 - height * height);
  const [a, b] = [gland.radii[0] * narrowing, gland.radii[1] * narrowing];
  const normal = [Math.sin(angle) / a, Math.cos(angle) / b] as const;
  const length = Math.hypot(...normal);
  const [nx, ny] = [normal[0] / length, normal[1] / length];
  const centre: Triple = [
    gland.centre[0] + a * Math.sin(angle) - depth * nx,
    gland.centre[1] + b * Math.cos(angle) - depth * ny,
    gland.centre[2] + height * gland.radii[2],
  ];
  return { centre, rotation: (Math.atan2(-nx, ny) * 180) / Math.PI };
}

/** The same shape, moved towards the middle of `outer` and, where that is not enough, made smaller until it fits. */
export function shrunkInto(inner: Shape, outer: Shape, limit: number): Shape {
  let shape = inner;
  for (let step = 0; step < 40 && farthest(shape, outer) > limit; step++) {
    const closer = shape.centre.map(
      (value, axis) => value + 0.06 * ((outer.centre[axis] as number) - value),
    ) as unknown as Triple;
    const scale = step < 6 ? 1 : 0.96;
    shape = { ...shape, centre: closer, radii: shape.radii.map((r) => r * scale) as unknown as Triple };
  }
  return shape;
}

/** The largest value of the outer shape's equation over the inner shape's surface: below 1, the inner lies inside. */
function farthest(inner: Shape, outer: Shape): number {
  const turn = rotation(inner);
  const back = rotation(outer);
  let largest = 0;
  for (let azimuth = 0; azimuth < 360; azimuth += 30) {
    for (const elevation of [-90, -60, -30, 0, 30, 60, 90]) {
      const [theta, phi] = [(azimuth * Math.PI) / 180, (elevation * Math.PI) / 180];
      const local = [
        inner.radii[0] * Math.cos(phi) * Math.cos(theta),
        inner.radii[1] * Math.cos(phi) * Math.sin(theta),
      ] as const;
      const x = inner.centre[0] + turn.cosine * local[0] - turn.sine * local[1] - outer.centre[0];
      const y = inner.centre[1] + turn.sine * local[0] + turn.cosine * local[1] - outer.centre[1];
      const z = inner.centre[2] + inner.radii[2] * Math.sin(phi) - outer.centre[2];
      const scaled = [
        (back.cosine * x + back.sine * y) / outer.radii[0],
        (back.cosine * y - back.sine * x) / outer.radii[1],
        z / outer.radii[2],
      ];
      const power = outer.roundness ?? 2;
      largest = Math.max(
        largest,
        scaled.reduce((sum, value) => sum + Math.abs(value) ** power, 0) ** (1 / power),
      );
    }
  }
  return largest;
}

function rotation(shape: Shape) {
  const angle = ((shape.rotation ?? 0) * Math.PI) / 180;
  return { cosine: Math.cos(angle), sine: Math.sin(angle) };
}
