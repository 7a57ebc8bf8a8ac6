// The tables of fields in docs/configuration.md: names, values and defaults come from the schema, the meaning is written
// by hand and kept. `node scripts/configuration-docs.mjs` checks them (after a build), `--write` brings them up to date. Another
// page may be named.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  imageColumnSchema,
  labelSchema,
  maskColumnSchema,
  ownColumnsSchema,
} from "../dist/cohort/own-columns.js";
import { paperTasks } from "../dist/common/vocabulary.js";
import { contrastNeeds } from "../dist/models/pretraining/patch-contrast.js";
import { paperSchema } from "../dist/study/config/presets.js";
import { profoundTasksSchema } from "../dist/study/config/profound-tasks.js";
import { studySchema, taskSchema } from "../dist/study/config/schema.js";
import { augmentationSchema } from "../dist/tasks/augmentation.js";
import { completedTask, definitionOf, taskOf } from "../dist/tasks/index.js";

const named = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
const file = named ?? fileURLToPath(new URL("../docs/configuration.md", import.meta.url));

/** Objects that are documented once, where they are defined, and named elsewhere. */
const definedElsewhere = [
  [/^models\[\]\.training$/, "any of the fields of `training`"],
  [/^tasks\[\]\.(diffusion\.)?training$/, "any of the fields of `training`"],
  [/^tasks\[\]\.cohort\.split$/, "as `split`"],
  [/^fewShotSplit$/, "as `split`"],
  [/^specialised\./, "a name or a specification of [models.md](models.md)"],
  [/^claims\.expected$/, "by task `{ seed, patient, interaction }`, numbers from 0"],
  [/^tasks$/, "list of names, or of objects with `kind`"],
  [/^models$/, "list of models"],
];

/** Every field of a schema with its values and its default in words. */
function fieldsOf(schema, path) {
  const rows = [];
  walk(
    z.toJSONSchema(schema, { io: "input", unrepresentable: "any", reused: "inline" }),
    path,
    true,
    undefined,
  );
  return rows;

  function walk(node, at, required, fromAbove) {
    const known = definedElsewhere.find(([pattern]) => pattern.test(at));
    const standard = "default" in node ? node.default : fromAbove;
    const row = { path: at, standard: wordsOfDefault(standard, required), meaning: node.description };
    if (known) rows.push({ ...row, values: known[1] });
    if (known && at !== "models") return;
    const item = node.type === "array" && node.items?.properties ? node.items : null;
    const properties = node.properties ?? item?.properties;
    if (properties === undefined) {
      rows.push({ ...row, values: valuesOf(node) });
      return;
    }
    const holder = item ?? node;
    for (const [name, inner] of Object.entries(properties)) {
      const inPath = `${at}${item ? "[]" : ""}`;
      walk(
        inner,
        inPath === "" ? name : `${inPath}.${name}`,
        (holder.required ?? []).includes(name),
        standard?.[name],
      );
    }
  }
}

/** What may stand in a field. */
function valuesOf(node) {
  const alternatives = node.anyOf ?? node.oneOf;
  if (alternatives) return [...new Set(alternatives.map(valuesOf))].join(" or ");
  if (node.enum) return node.enum.map((value) => `\`${value}\``).join(", ");
  if ("const" in node) return `\`${node.const}\``;
  if (node.properties) {
    const names = Object.entries(node.properties).map(([name, inner]) =>
      "const" in inner ? `${name}: ${inner.const}` : name,
    );
    return `\`{ ${names.join(", ")} }\``;
  }
  switch (node.type) {
    case "null":
      return "null";
    case "boolean":
      return "true, false";
    case "string":
      return "text";
    case "array":
      return node.prefixItems ? tupleWords(node.prefixItems.map(valuesOf)) : `list: ${valuesOf(node.items)}`;
    case "integer":
    case "number":
      return numberWords(node);
    default:
      return "any";
  }
}

const tupleWords = (values) =>
  new Set(values).size === 1 ? `${values.length} numbers: ${values[0]}` : `[${values.join(", ")}]`;

function numberWords({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const kind = type === "integer" ? "whole number" : "number";
  const bounds = [
    ...(exclusiveMinimum !== undefined ? [`above ${exclusiveMinimum}`] : []),
    ...(minimum !== undefined && Math.abs(minimum) < Number.MAX_SAFE_INTEGER ? [`from ${minimum}`] : []),
    ...(exclusiveMaximum !== undefined ? [`below ${exclusiveMaximum}`] : []),
    ...(maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? [`to ${maximum}`] : []),
  ];
  return [kind, ...bounds].join(" ");
}

const wordsOfDefault = (value, required) =>
  value === undefined ? (required ? "required" : "–") : `\`${plain(value)}\``;

/** A value as a study file may hold it. */
function plain(value) {
  if (Array.isArray(value)) return `[${value.map(plain).join(", ")}]`;
  if (typeof value === "object" && value !== null && Object.keys(value).length === 0) return "{}";
  if (typeof value === "object" && value !== null)
    return `{ ${Object.entries(value)
      .map(([name, inner]) => `${name}: ${plain(inner)}`)
      .join(", ")} }`;
  return String(value);
}

/** What the tables of a cohort's own columns say where a schema of a table by names says less. */
const valuesOfOwn = {
  "labels.<name>.kind": "`number`, `class`",
  "masks.<name>.labels": "numbers, each with a name",
};

/** The tables of the page by name: which fields each of them has. */
export function tables() {
  const study = fieldsOf(studySchema, "");
  const isOf = (prefix) => (row) => row.path.startsWith(prefix);
  const inner = (prefix) =>
    study.filter(isOf(prefix)).map((row) => ({ ...row, path: row.path.slice(prefix.length) }));
  const apart = ["models", "training.", "execution.", "specialised."];
  return {
    study: study.filter(({ path }) => !apart.some((prefix) => path.startsWith(prefix))),
    models: study.filter(({ path }) => path.startsWith("models") && !path.startsWith("models[].pretrain.")),
    pretrain: inner("models[].pretrain."),
    training: study.filter(isOf("training.")),
    augmentation: fieldsOf(augmentationSchema, ""),
    execution: study.filter(isOf("execution.")),
    specialised: study.filter(isOf("specialised.")),
    ...Object.fromEntries(
      taskSchema.options.map((option) => [
        option.shape.kind.value,
        fieldsOf(option, "tasks[]").flatMap(({ path, ...row }) =>
          path === "tasks[].kind" || path.startsWith("tasks[].diffusion.") || sharedByTasks.includes(path)
            ? []
            : [{ ...row, path: path.slice("tasks[].".length) }],
        ),
      ]),
    ),
    diffusion: fieldsOf(
      taskSchema.options.find(({ shape }) => "diffusion" in shape),
      "tasks[]",
    )
      .filter(isOf("tasks[].diffusion."))
      .map((row) => ({ ...row, path: row.path.slice("tasks[].".length) })),
    preset: fieldsOf(paperSchema, ""),
    profoundTasks: fieldsOf(profoundTasksSchema, ""),
    ownColumns: [
      ...fieldsOf(imageColumnSchema, "images.<name>"),
      ...fieldsOf(maskColumnSchema, "masks.<name>"),
      ...labelSchema.options.flatMap((option) =>
        fieldsOf(option, "labels.<name>").filter(
          ({ path }, _, rows) => rows.some((row) => row.path.endsWith(".classes")) || path.endsWith(".kind"),
        ),
      ),
      ...fieldsOf(ownColumnsSchema, "").filter(({ path }) => ["reference", "stratify"].includes(path)),
    ]
      .filter(({ path }, index, rows) => rows.findIndex((row) => row.path === path) === index)
      .map((row) => (valuesOfOwn[row.path] ? { ...row, values: valuesOfOwn[row.path] } : row)),
    tasks: sharedByTasks.map((path) => {
      const found = taskSchema.options.flatMap((option) =>
        fieldsOf(option, "tasks[]").filter((row) => row.path === path),
      );
      return { ...found[0], path: path.slice("tasks[].".length) };
    }),
  };
}

const sharedByTasks = [
  "tasks[].name",
  "tasks[].channelFill",
  "tasks[].training",
  "tasks[].cohort.manifest",
  "tasks[].cohort.split",
];

/** What each task needs of a case, as the task's own file says it. */
function columnsTable() {
  const row = (name, needs) => `| ${name} | ${needs.map(needWords).join("; ")} |`;
  const kinds = taskSchema.options.map((option) => option.shape.kind.value);
  return [
    "| Task | Columns that a case must have |",
    "| --- | --- |",
    ...kinds.map((kind) => row(`\`${kind}\``, taskOf(filledIn(kind)).needs)),
    row(
      "`distortion-correction` with `source: rectum-or-behind-gland`",
      taskOf(taskSchema.parse({ kind: "distortion-correction", source: "rectum-or-behind-gland" })).needs,
    ),
    row("pretraining by `patch-contrast`", contrastNeeds),
  ];
}

/** A task of a kind, to say what it needs: each column that a study must name by its field, where there are such fields. */
function filledIn(kind) {
  const option = taskSchema.options.find(({ shape }) => shape.kind.value === kind);
  const required = Object.entries(option.shape).flatMap(([field, schema]) =>
    schema instanceof z.ZodString ? [[field, `<${field}>`]] : [],
  );
  const task = taskSchema.parse({ kind, ...Object.fromEntries(required) });
  const nothing = { reference: "<image>", images: {}, masks: {}, labels: {} };
  return paperTasks.includes(kind) ? task : completedTask(task, nothing);
}

const needWords = ({ oneOf, shown }) =>
  oneOf.map((column) => `\`${column}\``).join(" or ") + (shown ? ", with something of it in the crop" : "");

/** The page with its tables as the schema has them, and the fields whose meaning nobody has written. */
export function upToDate(page) {
  const unexplained = [];
  const all = tables();
  const known = Object.keys(all).reduce(withKind, page);
  const used = new Set();
  const written = known.replace(
    /<!-- fields: (\S+) -->\n([\s\S]*?)<!-- end of fields -->/g,
    (_, name, old) => {
      used.add(name);
      if (name === "columns") return block(name, columnsTable());
      const meanings = new Map(
        [...old.matchAll(/^\| `([^`]+)` \|.*\| ([^|]*(?:\\\|[^|]*)*) \|$/gm)].map(([, field, meaning]) => [
          field,
          meaning.trim(),
        ]),
      );
      const lines = all[name].map(({ path, values, standard, meaning: described }) => {
        const ofAll = ofKinds.find(([pattern]) => pattern.test(path))?.[1] ?? "";
        const meaning = described ?? (meanings.get(path) || ofAll);
        if (meaning === "") unexplained.push(`${name}: ${path}`);
        return `| \`${path}\` | ${values} | ${standard} | ${meaning} |`;
      });
      return block(name, ["| Field | Values | Default | Meaning |", "| --- | --- | --- | --- |", ...lines]);
    },
  );
  for (const name of [...Object.keys(all), "columns"])
    if (!used.has(name)) unexplained.push(`the table ${name}`);
  return { written, unexplained };
}

/** What is said of every kind alike, where nobody has written more. */
const ofKinds = [
  [/^claims\.margins\./, "the same of tasks of this kind"],
  [/^specialised\./, "the specialised model of tasks of this kind"],
];

/** The page with a heading and an empty table for a kind of tasks that it does not tell of yet, after the others. */
function withKind(page, name) {
  const isKind = taskSchema.options.some(({ shape }) => shape.kind.value === name);
  const about = isKind ? definitionOf(name).about : undefined;
  if (about === undefined || page.includes(`<!-- fields: ${name} -->`)) return page;
  const made = `#### Fields of \`${name}\`\n\n${about}\n\n<!-- fields: ${name} -->\n<!-- end of fields -->\n\n`;
  return page.replace("<!-- end of kinds -->\n", (end) => made + end);
}

const block = (name, lines) => `<!-- fields: ${name} -->\n${lines.join("\n")}\n<!-- end of fields -->`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const page = readFileSync(file, "utf8");
  const { written, unexplained } = upToDate(page);
  if (process.argv.includes("--write")) writeFileSync(file, written);
  else if (written !== page) {
    console.error(
      "docs/configuration.md is not what the schema says: node scripts/configuration-docs.mjs --write",
    );
    process.exitCode = 1;
  }
  for (const field of unexplained) {
    console.error(`nothing explains ${field}`);
    process.exitCode = 1;
  }
}
