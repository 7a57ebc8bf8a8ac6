import { mkdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { requirePath } from "../common/arguments.js";
import { writeFileAtomically } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import { withCodedErrors } from "../common/system-errors.js";
import { besideReport, studyPaths } from "../results/paths.js";
import { readStudyFolder, type StudyFolder } from "../results/read-study.js";
import { summariseResults } from "../statistics/study-summary.js";
import { variantName } from "../tasks/index.js";
import { Assets } from "./assets.js";
import { type Gallery, readGalleries } from "./gallery.js";
import { type Html, html } from "./html.js";
import { taskLabel } from "./labels.js";
import { page } from "./page.js";
import { ofShownModels, type Summary, summarise, type TaskRow } from "./report-summary.js";
import { alignmentSection } from "./sections/alignment.js";
import { answerSection } from "./sections/answer.js";
import { claimCards, claimsSection } from "./sections/claims.js";
import { costSection } from "./sections/cost.js";
import { everythingSection } from "./sections/everything.js";
import { figuresSection } from "./sections/figures.js";
import { learningSection } from "./sections/learning.js";
import { methodsSection } from "./sections/methods.js";
import { drawGallery } from "./sections/pictures.js";
import { provenanceSection } from "./sections/provenance.js";
import { taskSection } from "./sections/task.js";

/** Longer sides of the pictures in CSS pixels, from the one that reads best down to what a large study affords. */
const sides = [150, 128, 104, 84, 64];
/** Base64 characters that all pictures together may take, so that a report stays below 10 MB. */
const pictureBudget = 4_500_000;

/**
 * Writes the report of a study, finished or not: `report.html`, one file that opens from its path without a network,
 * and beside it `figures/<name>.svg` and `.csv` for every figure, `tables/<name>.csv` for every table, `claims.json` with
 * what may be claimed, and `methods.txt`, a paragraph to paste into a paper. Needs
 * `results.json`; what else is missing is said on the first screen. Each file is complete or absent.
 *
 * @returns the path of `report.html`
 * @throws `BAD_INPUT` where `results.json` is missing or broken; `BAD_FILE`, `DISK_FULL`
 */
export async function writeReport(studyFolder: string): Promise<string> {
  requirePath(studyFolder, "studyFolder");
  const study = await readStudyFolder(studyFolder);
  const { contents, files } = await buildReport(study);
  for (const below of new Set([...files.keys()].map(dirname))) await requireOwnFolder(studyFolder, below);
  for (const [name, text] of files) await writeFileAtomically(join(studyFolder, name), text);
  const path = studyPaths(studyFolder).report;
  await writeFileAtomically(path, contents);
  return path;
}

/** @throws `BAD_FILE` where a folder below the study's leads elsewhere by a link: nothing is written there */
async function requireOwnFolder(studyFolder: string, below: string): Promise<void> {
  await withCodedErrors(async () => {
    await mkdir(join(studyFolder, below), { recursive: true });
    const place = await realpath(join(studyFolder, below));
    const own = join(await realpath(studyFolder), below);
    if (place === own) return;
    throw new TransferLimitsError(
      "BAD_FILE",
      `${join(studyFolder, below)} is a link to ${place}, but a report is written into the study's folder alone. ` +
        "Remove the link",
    );
  });
}

/** The page and the files beside it, without writing anything. */
async function buildReport(folder: StudyFolder): Promise<{ contents: string; files: Map<string, string> }> {
  const results = summariseResults(folder.results);
  const study = { ...folder, results };
  const summary = summarise(results);
  const assets = new Assets();
  const answer = await answerSection(study, summary, assets);
  const shown = ofShownModels(summary);
  const sections = [
    everythingSection(summary, assets),
    await figuresSection(summary, shown, assets, results),
  ];
  const claims = claimsSection(summary, results.drift);
  if (claims !== null)
    assets.files.set(besideReport.claims, `${JSON.stringify(claimCards(summary, results.drift), null, 2)}\n`);
  const learning = await learningSection(results, assets);
  if (learning !== null) sections.unshift(learning);
  if (claims !== null) sections.unshift(claims);
  sections.push(...(await taskSections(study, summary, shown, assets)));
  const methods = methodsSection(results, summary, assets);
  sections.push(
    await alignmentSection(results, summary, shown, assets),
    costSection(results, summary, assets),
    ...(methods === null ? [] : [methods]),
    await provenanceSection(study, summary, assets),
  );
  const links = [
    ...(claims === null ? [] : [{ id: "claims", label: "Claims" }]),
    ...(learning === null ? [] : [{ id: "learning", label: "Fewer patients" }]),
    { id: "results", label: "Results" },
    { id: "figures", label: "Figures" },
    ...summary.tasks.map((variant) => ({
      id: `task-${variantName(variant, "-")}`,
      label: taskLabel(variant),
    })),
    { id: "alignment", label: "Alignment" },
    { id: "cost", label: "Cost" },
    ...(methods === null ? [] : [{ id: "methods", label: "Methods" }]),
    { id: "provenance", label: "Provenance" },
  ];
  const footer = html`<p>transfer-limits ${results.software.package}. Every figure and table has its numbers beside this page, in
figures/ and tables/.</p>`;
  return { contents: page(results.name, answer, links, sections, footer), files: assets.files };
}

async function taskSections(
  study: StudyFolder,
  summary: Summary,
  shown: Summary,
  assets: Assets,
): Promise<Html[]> {
  const pictures = drawWithinBudget(await readGalleries(study, shown));
  const sections: Html[] = [];
  for (const variant of summary.tasks)
    sections.push(await taskSection(summary, shown, variant, pictures, assets));
  return sections;
}

/** All pictures, as large as the budget allows. */
function drawWithinBudget(galleries: ReadonlyMap<TaskRow, Gallery | string>): Map<TaskRow, Html> {
  const models = new Set([...galleries.keys()].map(({ model }) => model));
  const heading = ({ model }: TaskRow): string => (models.size > 1 ? `Pictures, ${model}` : "Pictures");
  let drawn = new Map<TaskRow, Html>();
  for (const side of sides) {
    let bytes = 0;
    drawn = new Map();
    for (const [row, gallery] of galleries) {
      const one =
        typeof gallery === "string"
          ? {
              html: html`<p class="quiet">${models.size > 1 ? `${row.model}: ` : null}${gallery}</p>`,
              bytes: 0,
            }
          : drawGallery(gallery, heading(row), side);
      bytes += one.bytes;
      drawn.set(row, one.html);
    }
    if (bytes <= pictureBudget) break;
  }
  return drawn;
}
