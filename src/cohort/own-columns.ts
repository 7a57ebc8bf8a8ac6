import { z } from "zod";
import { describe } from "../common/errors.js";
import { section } from "../common/validation.js";
import { ofImages, ofMasks, ofScores } from "./column-words.js";
import type { CohortColumns, Column, LabelColumn, MaskColumn } from "./columns.js";
import { normalisation } from "./normalisation.js";
import { prostateColumns } from "./presets/prostate.js";

const columnName = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9_-]{0,59}$/,
    "expected the name of a column: a letter, then letters, digits, '_' or '-', at most 60 of them",
  )
  .refine((name) => !["case", "patient", "centre"].includes(name), {
    error: ({ input }) => `expected another name: ${describe(input)} has a meaning of its own`,
  });

/** A table by the names of columns. */
const byName = <Entry extends z.ZodType>(entry: Entry) => z.record(columnName, entry);

const labelNumber = z
  .string()
  .regex(/^([1-9]|[1-5][0-9]|6[0-4])$/, "expected a label of the mask: a whole number from 1 to 64");

const className = z.union([z.number(), z.string().min(1).max(100)]);

/** Which volume a label is: of a mask's foreground, or of some of its labels. */
const volumeOf = z.union([
  columnName,
  section({ mask: columnName, labels: z.array(z.int().min(1).max(64)).min(1) }),
]);

export const labelSchema = z.discriminatedUnion("kind", [
  section({ kind: z.literal("number"), volumeOf: volumeOf.optional() }),
  section({
    kind: z.literal("class"),
    classes: z.array(className).min(2).max(100),
    /** Whether each class is more than the one before it. */
    ordered: z.boolean().default(false),
    volumeOf: volumeOf.optional(),
    /** Of a volume, in mm³: where one class ends and the next begins. */
    thresholds: z.array(z.number().positive()).min(1).optional(),
  }),
]);

/** What a study says of one image, and of one mask. */
export const imageColumnSchema = section({ normalise: normalisation.prefault({ kind: "percentiles" }) });
export const maskColumnSchema = section({
  /** By number, what each label of the mask is; absent: any label is foreground. */
  labels: z
    .record(labelNumber, columnName)
    .refine((labels) => Object.keys(labels).length > 0, "expected at least one label")
    .optional(),
  /** The mask of the organ that this is a part of. */
  partOf: columnName.optional(),
});

/** The columns of a cohort as a study file names them. */
export const ownColumnsSchema = section({
  images: byName(imageColumnSchema).refine(
    (images) => Object.keys(images).length > 0,
    "expected at least one image",
  ),
  /** The image onto whose axes the others and the masks are brought; default: the first. */
  reference: columnName.optional(),
  masks: byName(maskColumnSchema).default({}),
  labels: byName(labelSchema).default({}),
  /** The label, one of classes, whose mix every set keeps; default: the first of classes that a column holds; null: none. */
  stratify: columnName.nullable().optional(),
});

/** The names of a cohort's columns: a prostate's, or the study's own. */
export const columnsSchema = z.union([z.literal("prostate"), ownColumnsSchema]).default("prostate");
export type ColumnsConfig = z.output<typeof columnsSchema>;
/** `cohort.columns` as a study file has it: `prostate`, or images, masks and labels by name. @useDeclaredType */
export type ColumnsInput = z.input<typeof columnsSchema>;
type OwnColumns = z.output<typeof ownColumnsSchema>;
type LabelConfig = z.output<typeof labelSchema>;

/** The class label that patients are divided by where a study does not say. */
const firstOfClasses = (labels: OwnColumns["labels"]): string | null =>
  Object.entries(labels).find(([, { kind, volumeOf }]) => kind === "class" && volumeOf === undefined)?.[0] ??
  null;

/** The columns with what follows from them filled in. */
export const completeColumns = (columns: ColumnsConfig): ColumnsConfig =>
  columns === "prostate"
    ? columns
    : {
        ...columns,
        reference: columns.reference ?? (Object.keys(columns.images)[0] as string),
        stratify: columns.stratify === undefined ? firstOfClasses(columns.labels) : columns.stratify,
      };

/** What contradicts what among the columns that a study names. */
export function columnsFaults(columns: ColumnsConfig): { path: PropertyKey[]; message: string }[] {
  if (columns === "prostate") return [];
  const { images, masks, labels, reference, stratify } = columns;
  const faults: { path: PropertyKey[]; message: string }[] = [];
  const oneOf = (path: PropertyKey[], name: string | undefined, names: readonly string[], what: string) => {
    if (name === undefined || names.includes(name)) return;
    const known = names.length === 0 ? "of which there are none" : names.map(describe).join(", ");
    faults.push({ path, message: `expected one of the ${what} (${known}) but received ${describe(name)}` });
  };
  oneOf(["reference"], reference, Object.keys(images), "images");
  const seen = new Set<string>();
  for (const [kind, table] of Object.entries({ images, masks, labels })) {
    for (const name of Object.keys(table)) {
      if (seen.has(name))
        faults.push({ path: [kind, name], message: "expected a name of its own: another column has it too" });
      seen.add(name);
    }
  }
  for (const [name, { partOf }] of Object.entries(masks)) {
    const others = Object.keys(masks).filter((other) => other !== name);
    oneOf(["masks", name, "partOf"], partOf, others, "other masks");
  }
  for (const [name, label] of Object.entries(labels))
    faults.push(...labelFaults(label, masks).map((one) => ({ ...one, path: ["labels", name, ...one.path] })));
  const classes = Object.entries(labels).filter(([, { kind }]) => kind === "class");
  oneOf(
    ["stratify"],
    stratify ?? undefined,
    classes.filter(([, { volumeOf }]) => volumeOf === undefined).map(([name]) => name),
    "labels of classes that a column holds",
  );
  return faults;
}

function labelFaults(
  label: LabelConfig,
  masks: OwnColumns["masks"],
): { path: PropertyKey[]; message: string }[] {
  const faults: { path: PropertyKey[]; message: string }[] = [];
  if (label.volumeOf !== undefined) {
    const { mask, labels } = volumeOfConfig(label.volumeOf);
    const known = masks[mask];
    if (known === undefined) {
      const names = Object.keys(masks).map(describe).join(", ");
      faults.push({
        path: ["volumeOf"],
        message: `expected one of the masks (${names || "of which there are none"}) but received ${describe(mask)}`,
      });
    } else {
      const named = Object.keys(known.labels ?? { 1: "" }).map(Number);
      for (const one of labels ?? [])
        if (!named.includes(one))
          faults.push({
            path: ["volumeOf", "labels"],
            message: `expected labels of ${mask} (${named.join(", ")}) but received ${one}`,
          });
    }
  }
  if (label.kind === "number") return faults;
  const { classes, thresholds, volumeOf } = label;
  if (new Set(classes.map(String)).size < classes.length)
    faults.push({ path: ["classes"], message: "expected each class once, but one stands there twice" });
  if (volumeOf === undefined && thresholds !== undefined)
    faults.push({ path: ["thresholds"], message: 'expected "volumeOf" beside it, but received none' });
  if (volumeOf !== undefined && thresholds?.length !== classes.length - 1)
    faults.push({
      path: ["thresholds"],
      message:
        `expected ${classes.length - 1} volumes in mm³ between the ${classes.length} classes but received ` +
        `${thresholds?.length ?? "none"}`,
    });
  if (thresholds?.some((one, index) => index > 0 && one <= (thresholds[index - 1] as number)))
    faults.push({ path: ["thresholds"], message: "expected volumes that rise" });
  return faults;
}

const volumeOfConfig = (
  volume: NonNullable<LabelConfig["volumeOf"]>,
): NonNullable<LabelColumn["volumeOf"]> => (typeof volume === "string" ? { mask: volume } : volume);

const made = new WeakMap<OwnColumns, CohortColumns>();

/** What the columns of a study's cohort are, complete. */
export function columnsOf({ columns = "prostate" }: { columns?: ColumnsConfig }): CohortColumns {
  if (columns === "prostate") return prostateColumns;
  const known = made.get(columns);
  if (known) return known;
  const built = ownColumns(columns);
  made.set(columns, built);
  return built;
}

function ownColumns(columns: OwnColumns): CohortColumns {
  const { images, masks, labels, reference, stratify } = completeColumns(columns) as OwnColumns;
  const named = (name: string, what: string, additions: readonly string[]): Column => ({
    words: `${name} ${what}`,
    meaning: `of ${name} ${what}s`,
    aliases: [],
    additions,
  });
  const entries = <From, To>(table: Record<string, From>, make: (name: string, entry: From) => To) =>
    Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, make(name, entry)]));
  return {
    images: entries(images, (name) => named(name, "image", ofImages)),
    reference: reference as string,
    masks: entries(
      masks,
      (name, { labels: ofMask, partOf }): MaskColumn => ({
        ...named(name, "mask", ofMasks),
        ...(ofMask === undefined ? {} : { labels: ofMask, closed: true }),
        ...(partOf === undefined ? {} : { partOf }),
      }),
    ),
    labels: entries(
      labels,
      (name, { volumeOf, ...label }): LabelColumn => ({
        ...(label as LabelColumn),
        ...named(name, "label", ofScores),
        words: `label ${name}`,
        values: label.kind === "number" ? "a number" : `one of ${label.classes.join(", ")}`,
        ...(volumeOf === undefined ? {} : { volumeOf: volumeOfConfig(volumeOf) }),
      }),
    ),
    stratify: stratify ?? null,
    around: "centre",
    fieldOfView: { least: 1, most: 2000 },
  };
}

/** How each image of a study's cohort is brought to a common scale. */
export const normalisationOf = <Normalisation>({
  columns,
  normalise,
}: {
  columns: ColumnsConfig;
  normalise?: Readonly<Record<string, Normalisation>> | undefined;
}): Readonly<Record<string, Normalisation>> =>
  columns === "prostate"
    ? (normalise ?? {})
    : Object.fromEntries(
        Object.entries(columns.images).map(([name, image]) => [name, image.normalise as Normalisation]),
      );
