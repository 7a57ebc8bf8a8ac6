import { type RandomStream, randomStream } from "../common/random.js";
import type { PhantomTissue } from "../native/volumes.js";
import type { Triple } from "./geometry.js";
import { besideCapsule, grown, mirrored, type Shape, shrunkInto } from "./phantom-shapes.js";
import { type Substance, substances } from "./phantom-substances.js";

/**
 * What the phantom's label map says. A lesion's label is ten times its zone plus its number within the patient, so
 * that gland, zones and lesions can all be read from one map.
 */
export const phantomLabels = { peripheral: 1, transition: 2, rectum: 3 } as const;
export const zoneOf = (label: number): number =>
  label >= 10 ? Math.floor(label / 10) : label <= 2 ? label : 0;
export const lesionOf = (label: number): number => (label >= 10 ? label % 10 : 0);

/** Conspicuity from which a lesion counts as marked: PI-RADS 4 or 5. */
const markedConspicuity = 0.4;
/** Millimetres across from which a marked lesion is PI-RADS 5 (PI-RADS v2.1). */
const largeDiameter = 15;

export interface PhantomLesion {
  zone: "peripheral" | "transition";
  centre: Triple;
  /** Radii in mm: along the capsule, towards it, and head-foot. */
  radii: Triple;
  /** About the head-foot axis, in degrees. */
  rotation: number;
  /** The largest diameter, in mm. */
  diameter: number;
  /** 0: like its surroundings on T2W and diffusion; 1: as dark and as restricted as cancer gets. */
  conspicuity: number;
}

export interface PhantomAnatomy {
  /** In the order of painting; mm in the patient's axes, with the middle of the gland at the origin. */
  tissues: PhantomTissue[];
  lesions: PhantomLesion[];
  pirads: number;
  /** Radii of the gland in mm. */
  gland: Triple;
}

/**
 * The PI-RADS category of a patient, after PI-RADS v2.1 as far as a phantom can follow it: a marked lesion is 5 from
 * 15 mm on and 4 below; a lesion that is not marked is 3; the highest counts. Without a lesion it is 2 where the
 * peripheral zone shows a wedge that is mildly dark on T2W, without restricted diffusion, and 1 where it shows nothing.
 */
export function piradsOf(lesions: readonly PhantomLesion[], wedge: boolean): number {
  if (lesions.length === 0) return wedge ? 2 : 1;
  return Math.max(
    ...lesions.map(({ conspicuity, diameter }) =>
      conspicuity < markedConspicuity ? 3 : diameter >= largeDiameter ? 5 : 4,
    ),
  );
}

const tissue = (substance: Substance, shape: Shape, label = 0): PhantomTissue => ({
  label,
  centre: [...shape.centre],
  radii: [...shape.radii],
  rotation: shape.rotation ?? 0,
  roundness: shape.roundness ?? 2,
  ...substance,
});

/** Draws the anatomy of one patient: the same seed and number give the same patient, whatever else is drawn. */
export function drawAnatomy(seed: number, patient: number): PhantomAnatomy {
  const stream = (...name: string[]) => randomStream(seed, "phantom", patient, ...name);
  const size = stream("gland");
  const gland: Shape = {
    centre: [0, 0, 0],
    radii: [size.between(22, 28), size.between(15.5, 20), size.between(18, 23)],
    roundness: size.between(2.1, 2.5),
  };
  const variation = stream("tissue");
  const peripheral = varied(substances.peripheral, variation);
  const transition = varied(substances.transition, variation);

  // Two patients in seven have no lesion; a golden-ratio sequence spreads them evenly over a cohort of any size.
  const golden = (Math.sqrt(5) - 1) / 2;
  const presence = (randomStream(seed, "phantom", "presence").uniform() + patient * golden) % 1;
  const lesions = presence < 2 / 7 ? [] : drawLesions(stream("lesions"), gland);
  const wedge = stream("wedge").uniform() < (lesions.length > 0 ? 0.3 : 0.55);

  return {
    tissues: [
      ...pelvis(stream("pelvis"), gland),
      ...rectum(stream("rectum"), gland),
      ...bladder(stream("bladder"), gland),
      tissue(substances.capsule, grown(gland, 1)),
      tissue(peripheral, gland, phantomLabels.peripheral),
      ...(wedge ? [drawWedge(stream("wedge", "place"), gland, peripheral)] : []),
      ...transitionZone(stream("transition"), gland, transition),
      ...lesions.map((lesion, index) => paintLesion(lesion, index + 1, { peripheral, transition })),
    ],
    lesions,
    pirads: piradsOf(lesions, wedge),
    gland: gland.radii,
  };
}

/** A tissue as it is in one patient: T2 and ADC within a few percent of the population's. */
const varied = (substance: Substance, stream: RandomStream): Substance => ({
  ...substance,
  t2Milliseconds: substance.t2Milliseconds * stream.between(0.92, 1.08),
  adc: substance.adc * stream.between(0.94, 1.06),
});

/** Muscles, bones and vessels around the gland. Fat is the background. */
function pelvis(stream: RandomStream, gland: Shape): PhantomTissue[] {
  const [rx, ry, rz] = gland.radii;
  const levator: Shape = {
    centre: [0, 14, -6],
    radii: [rx + stream.between(5.5, 7.5), ry + 22, rz + 30],
    roundness: 2.6,
  };
  const obturator: Shape = {
    centre: [rx + stream.between(20, 23), -4, 0],
    radii: [8.5, 27, 60],
    rotation: stream.between(-16, -8),
    roundness: 2.8,
  };
  const acetabulum: Shape = {
    centre: [obturator.centre[0] + 19, -8, 8],
    radii: [12, 27, 40],
    rotation: obturator.rotation as number,
    roundness: 2.6,
  };
  const pubis: Shape = {
    centre: [17, -ry - stream.between(17, 20), -rz * 0.45],
    radii: [18, 7, 15],
    rotation: stream.between(22, 30),
    roundness: 2.4,
  };
  const gluteus: Shape = { centre: [34, ry + 52, 0], radii: [30, 16, 70], rotation: -18, roundness: 2.6 };
  const both = (substance: Substance, shape: Shape) => [
    tissue(substance, shape),
    tissue(substance, mirrored(shape)),
  ];
  const vessels = [-1, 1].flatMap((side) =>
    Array.from({ length: 3 }, () => {
      const angle = (side * stream.between(105, 150) * Math.PI) / 180; // from the front, round to the side
      const distance = stream.between(2.5, 4);
      return tissue(substances.vessel, {
        centre: [
          Math.sin(angle) * (rx + distance),
          -Math.cos(angle) * (ry + distance),
          stream.between(-8, 8),
        ],
        radii: [1.4, 1.4, stream.between(5, 12)],
      });
    }),
  );
  return [
    ...both(substances.muscle, gluteus),
    ...both(substances.muscle, obturator),
    ...both(substances.cortex, grown(acetabulum, 1.6)),
    ...both(substances.marrow, acetabulum),
    tissue(substances.muscle, levator),
    tissue(substances.fat, grown(levator, -stream.between(2.6, 3.4))),
    // The sling is open in front.
    tissue(substances.fat, { centre: [0, -ry - 16, 0], radii: [rx * 0.85, 22, rz + 45], roundness: 3 }),
    ...both(substances.cortex, grown(pubis, 1.6)),
    ...both(substances.marrow, pubis),
    tissue(substances.cortex, { centre: [0, pubis.centre[1] - 5, pubis.centre[2]], radii: [2.5, 8, 13] }),
    tissue(substances.venousPlexus, {
      centre: [0, -ry - 4.5, -rz * 0.3],
      radii: [rx * 0.6, 4, rz * 0.7],
    }),
    ...vessels,
  ];
}

/** A tube behind the gland that follows the sacrum; gas rises to its front, as the patient lies on the back. */
function rectum(stream: RandomStream, gland: Shape): PhantomTissue[] {
  const [, ry, rz] = gland.radii;
  const [width, depth] = [stream.between(12, 18), stream.between(9, 14)];
  const front = ry + stream.between(2, 3.5);
  const aside = stream.normal(0, 2);
  const segments = [-1, -0.35, 0.35, 1].map((level): Shape => {
    const wave = stream.between(0.85, 1.15);
    return {
      // Nearest to the gland at its middle, farther back above and below.
      centre: [aside + stream.normal(0, 1), front + depth + 5 * level * level, level * (rz + 8)],
      radii: [width * wave, depth * wave - 1, rz * 0.75],
      roundness: 2.4,
    };
  });
  const wall = stream.between(2, 3);
  const share = stream.pick([0, 0.35, 0.55, 0.8]); // how much of the rectum gas fills
  const gas = segments.flatMap((segment) => {
    if (share === 0) return [];
    const inside = grown(segment, -wall - 0.5);
    const height = inside.radii[1] * share;
    return [
      tissue(
        substances.gas,
        {
          ...inside,
          centre: [inside.centre[0], inside.centre[1] - inside.radii[1] + height, inside.centre[2]],
          radii: [inside.radii[0] * Math.sqrt(share), height, inside.radii[2]],
        },
        phantomLabels.rectum,
      ),
    ];
  });
  return [
    ...segments.map((segment) => tissue(substances.bowelWall, segment, phantomLabels.rectum)),
    ...segments.map((segment) => tissue(substances.stool, grown(segment, -wall), phantomLabels.rectum)),
    ...gas,
  ];
}

/** The bladder above the gland, and the seminal vesicles behind it. */
function bladder(stream: RandomStream, gland: Shape): PhantomTissue[] {
  const [rx, ry, rz] = gland.radii;
  const lumen: Shape = {
    centre: [stream.normal(0, 1.5), -ry * 0.35, rz + stream.between(19, 23)],
    radii: [rx + stream.between(2, 8), ry + stream.between(2, 6), 18],
    roundness: 2.3,
  };
  const vesicle: Shape = {
    centre: [12, ry * 0.62, rz + 2],
    radii: [13, stream.between(4, 5.5), 6],
    rotation: stream.between(8, 20),
  };
  return [
    tissue(substances.bladderWall, grown(lumen, stream.between(2.2, 3.4))),
    tissue(substances.urine, lumen),
    ...[vesicle, mirrored(vesicle)].flatMap((shape) => [
      tissue(substances.capsule, grown(shape, 0.8)),
      tissue(substances.seminalVesicle, shape),
    ]),
  ];
}

/** Two lobes with nodules, the urethra between them, the fibromuscular stroma in front. */
function transitionZone(stream: RandomStream, gland: Shape, substance: Substance): PhantomTissue[] {
  const label = phantomLabels.transition;
  const [rx, ry, rz] = gland.radii;
  const enlarged = stream.between(0.85, 1.1); // hyperplasia presses the peripheral zone flat
  const painted: PhantomTissue[] = [];
  const lobes = [-1, 1].map((side): Shape => {
    const asymmetry = stream.between(0.92, 1.06);
    const lobe: Shape = {
      centre: [side * rx * 0.31, -ry * 0.24, rz * 0.08],
      radii: [rx * 0.42 * enlarged * asymmetry, ry * 0.66 * enlarged, rz * 0.78],
      rotation: side * stream.between(8, 20),
    };
    return shrunkInto(lobe, gland, 0.93);
  });
  painted.push(...lobes.map((lobe) => tissue(substances.capsule, grown(lobe, 0.9), label)));
  painted.push(...lobes.map((lobe) => tissue(substance, lobe, label)));
  for (const lobe of lobes) {
    const count = stream.integer(2, 5);
    for (let nodule = 0; nodule < count; nodule++) {
      const radius = stream.between(2.5, 6.5);
      const shape = shrunkInto(
        {
          centre: [
            lobe.centre[0] + stream.normal(0, 0.4) * lobe.radii[0],
            lobe.centre[1] + stream.normal(0, 0.4) * lobe.radii[1],
            lobe.centre[2] + stream.normal(0, 0.45) * lobe.radii[2],
          ],
          radii: [radius, radius * stream.between(0.75, 1.1), radius * stream.between(0.8, 1.2)],
          rotation: stream.between(0, 90),
        },
        lobe,
        0.98,
      );
      const kind = stream.pick([
        substances.glandularNodule,
        substances.stromalNodule,
        substances.mixedNodule,
      ]);
      painted.push(
        tissue(substances.capsule, grown(shape, 0.7), label),
        tissue(varied(kind, stream), shape, label),
      );
    }
  }
  const stroma: Shape = {
    centre: [0, -ry * 0.78, 0],
    radii: [rx * 0.4, ry * 0.17, rz * 0.62],
    roundness: 2.4,
  };
  const urethra: Shape = { centre: [0, -ry * 0.02, -rz * 0.05], radii: [1.6, 2.1, rz * 0.86] };
  painted.push(
    tissue(substances.fibromuscular, shrunkInto(stroma, gland, 0.97), label),
    tissue(substances.capsule, grown(urethra, 1.3), label),
    tissue(substances.urethra, urethra, label),
  );
  return painted;
}

/** A wedge of the peripheral zone that is mildly dark on T2W but diffuses freely: inflammation, PI-RADS 2. */
function drawWedge(stream: RandomStream, gland: Shape, peripheral: Substance): PhantomTissue {
  const place = besideCapsule(
    gland,
    stream.pick([-1, 1]) * stream.between(30, 70),
    stream.normal(0, 0.25),
    2.5,
  );
  const shape: Shape = { ...place, radii: [2.6, 6.5, stream.between(4, 7)] };
  const substance = {
    ...peripheral,
    t2Milliseconds: peripheral.t2Milliseconds * 0.72,
    adc: peripheral.adc * 0.86,
  };
  return tissue(substance, shrunkInto(shape, gland, 0.96), phantomLabels.peripheral);
}

/** One lesion in two thirds of the patients, two in the others; they never touch. */
function drawLesions(stream: RandomStream, gland: Shape): PhantomLesion[] {
  const lesions: PhantomLesion[] = [];
  const count = stream.uniform() < 2 / 3 ? 1 : 2;
  for (let attempt = 0; lesions.length < count && attempt < 20; attempt++) {
    const lesion = drawLesion(stream, gland);
    const apart = lesions.every((other) => {
      const gap = Math.hypot(...lesion.centre.map((value, axis) => value - (other.centre[axis] as number)));
      return gap > (lesion.diameter + other.diameter) / 2 + 3;
    });
    if (apart) lesions.push(lesion);
  }
  return lesions;
}

function drawLesion(stream: RandomStream, gland: Shape): PhantomLesion {
  const diameter = 9 + 14 * stream.uniform() ** 1.2;
  const conspicuity = stream.between(0.15, 1);
  const zone = stream.uniform() < 0.7 ? "peripheral" : "transition"; // as cancers are spread
  const half = diameter / 2;
  const flat = half * stream.between(0.55, 0.8);
  const tall = half * stream.between(0.75, 1);
  const side = stream.pick([-1, 1]);
  const place =
    zone === "peripheral"
      ? besideCapsule(gland, side * stream.between(15, 80), stream.normal(0, 0.28), flat + 0.8)
      : {
          centre: [
            side * gland.radii[0] * stream.between(0.12, 0.42),
            -gland.radii[1] * stream.between(0.2, 0.55),
            gland.radii[2] * stream.normal(0, 0.25),
          ] as const,
          rotation: side * stream.between(-25, 25),
        };
  const shape = shrunkInto({ ...place, radii: [half, flat, tall] }, gland, 0.96);
  return {
    zone,
    centre: shape.centre,
    radii: shape.radii,
    rotation: shape.rotation ?? 0,
    diameter: 2 * Math.max(...shape.radii),
    conspicuity,
  };
}

function paintLesion(
  lesion: PhantomLesion,
  number: number,
  host: { peripheral: Substance; transition: Substance },
): PhantomTissue {
  const { faint, marked } = substances.lesions[lesion.zone];
  const blend = (name: "t2Milliseconds" | "adc") =>
    faint[name] + lesion.conspicuity * (marked[name] - faint[name]);
  const substance: Substance = {
    ...host[lesion.zone],
    t2Milliseconds: blend("t2Milliseconds"),
    adc: blend("adc"),
    texture: 0.06,
    textureSize: 4,
  };
  const label = 10 * phantomLabels[lesion.zone] + number;
  return tissue(substance, { ...lesion, roundness: 2.2 }, label);
}
