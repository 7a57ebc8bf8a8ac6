// What the reference leaves out, because it stands elsewhere or is nobody's business outside of this package.
import { Converter, IntrinsicType, ReferenceType, UnionType, UnknownType } from "typedoc";

const configuration = "Its fields: [configuration.md](../configuration.md).";

/**
 * What a study holds is said once, in docs/configuration.md, whose tables follow the schema: the reference names these types
 * and leads there, instead of spelling out hundreds of fields several times.
 */
const elsewhere = {
  Study: { type: null, words: configuration },
  StudyInput: { type: "object", words: configuration },
  studySchema: { type: "z.ZodObject", words: configuration },
  TrainingSettings: { type: "object", words: configuration },
  Augmentation: { type: "object", words: configuration },
  EncoderChoice: { type: "string | EncoderSpec", words: "The names: [models.md](../models.md#encoders)." },
};

/** Where they are used: TypeScript forgets the name of a type that is computed. */
const uses = {
  "runStudy.study": ["Study", "StudyInput"],
  "planStudy.study": ["Study", "StudyInput"],
  "CellResult.augmentation": ["Augmentation"],
  "PlannedCell.training": ["TrainingSettings", null],
  "NetworkOptions.encoder": ["EncoderChoice"],
};

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const [name, { type, words }] of Object.entries(elsewhere)) {
      const declaration = found(project, name);
      for (const field of [...(declaration.children ?? [])]) project.removeReflection(field);
      project.removeTypeReflections(declaration.type);
      delete declaration.extendedTypes;
      if (type !== null) declaration.type = new UnknownType(type);
      declaration.comment?.summary.push({ kind: "text", text: `\n\n${words}` });
    }
    for (const [place, names] of Object.entries(uses)) {
      const [owner, part] = place.split(".");
      const declaration = found(project, owner);
      const parts = declaration.signatures?.[0]?.parameters ?? declaration.children ?? [];
      const used = parts.find(({ name }) => name === part);
      if (used === undefined)
        throw new Error(`${owner} has no ${part}: mend scripts/api-reference/shorter.mjs`);
      project.removeTypeReflections(used.type);
      const types = names.map((name) =>
        name === null
          ? new IntrinsicType("null")
          : ReferenceType.createResolvedReference(name, found(project, name), project),
      );
      used.type = types.length === 1 ? types[0] : new UnionType(types);
    }
  });
  // What is said in a file is inferred from its schema: nobody who reads its fields needs to know.
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const declaration of project.children ?? []) {
      if (!declaration.extendedTypes?.some((type) => /^output<typeof \w+Schema>$/.test(String(type))))
        continue;
      delete declaration.extendedTypes;
      delete declaration.typeHierarchy;
      plainFields(declaration);
    }
  });
  // Network has a base of the same name in src/native/, which users never see.
  const last = -10_000;
  app.converter.on(
    Converter.EVENT_RESOLVE_END,
    ({ project }) => {
      const network = found(project, "Network");
      delete network.extendedTypes;
      delete network.typeHierarchy;
      network.traverse((member) => {
        for (const one of [member, ...(member.signatures ?? []), member.getSignature]) {
          if (one) {
            delete one.inheritedFrom;
            delete one.overwrites;
          }
        }
        return true;
      });
    },
    last,
  );
}

/** Fields without what the schema's code says of them. */
function plainFields(declaration) {
  declaration.traverse((field) => {
    delete field.inheritedFrom;
    delete field.defaultValue;
    plainFields(field);
    return true;
  });
}

function found(project, name) {
  const declaration = project.getChildByName(name);
  if (declaration === undefined)
    throw new Error(`src/index.ts exports no ${name}: mend scripts/api-reference/shorter.mjs`);
  return declaration;
}
