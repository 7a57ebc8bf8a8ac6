import { masksInWords } from "../../cohort/mask-counts.js";
import type { TaskName } from "../../common/vocabulary.js";
import type { Retry } from "../../results/cell.js";
import type { StudyFolder } from "../../results/read-study.js";
import type { Session, Splits, StudyResults } from "../../results/study.js";
import { augmentationInWords } from "../../tasks/augmentation.js";
import type { Assets } from "../assets.js";
import { encoderChecks } from "../fidelity.js";
import { pretrainingFigure } from "../figures/curves.js";
import { count, duration, fixed, grouped, listing, names, when } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, kindInProse, taskInProse, taskLabel } from "../labels.js";
import { first, limits } from "../limits.js";
import { loadedWeights } from "../loaded-weights.js";
import type { Summary } from "../report-summary.js";
import { exposures } from "../sentences.js";

/** Where the numbers come from, folded: study, seeds, splits, pretraining, software, left-out cases, cells. */
export async function provenanceSection(study: StudyFolder, summary: Summary, assets: Assets): Promise<Html> {
  const { results } = study;
  const pretraining = await assets.figure(pretrainingFigure(results.pretraining.slice(0, limits.models)));
  return html`<section id="provenance"><h2>Provenance</h2>
${fold("Software and hardware", softwareAndHardware(results))}
${fold("Cohort, seeds and splits", seedsAndSplits(study, summary, assets))}
${study.weights.length === 0 ? null : fold("Weights", loadedWeights(study.weights))}
${results.exposure === undefined || results.exposure.length === 0 ? null : fold("Patients that weights saw before", html`${listOf(exposures(results), (line) => line)}`)}
${results.fidelity === undefined || results.fidelity.length === 0 ? null : fold("What was checked of encoders before they were trained", encoderChecks(results.fidelity))}
${results.pretraining.length === 0 ? null : fold("Pretraining", html`${pretraining}${pretrainingRuns(study)}`)}
${results.cells.some(({ result }) => result?.augmentation) ? fold("Augmentation", augmentations(study)) : null}
${fold(
  "The study, with every default filled in",
  study.resolved === null
    ? html`<p>study.resolved.json could not be read.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Resolved study"><pre class="study">${quoted(study.resolved)}</pre></div>
<p class="downloads">Beside this page: <a href="study.resolved.json">study.resolved.json</a></p>`,
)}
${fold(`Cases left out (${grouped(results.cohort.excluded.length)})`, exclusions(study))}
${fold(`Cells (${grouped(results.cells.length)})`, cells(study))}
</section>`;
}

/** The beginning of a text that is too long for the page. */
const quoted = (text: string): string =>
  text.length <= limits.quoted
    ? text
    : `${text.slice(0, limits.quoted)}\n… and ${grouped(text.length - limits.quoted)} more characters.`;

function fold(title: string, contents: Html): Html {
  return html`<details class="fold"><summary><h3>${title}</h3></summary>${contents}</details>`;
}

/** Each session of work on the study as it recorded itself, the last one first; the report's own machine plays no part. */
function softwareAndHardware({ software, cost }: StudyResults): Html {
  const sessions = [...(cost?.sessions ?? [])].reverse();
  const precision = precisionInWords(software);
  if (sessions.length === 0)
    return facts({
      "transfer-limits": software.package,
      LibTorch: software.libtorch,
      Node: software.node,
      Device: software.device,
      Threads: String(software.threads),
      Precision: precision,
      "Date, machine and build": "not recorded",
    });
  const shown = sessions.slice(0, sessionsShown);
  const more = sessions.length - shown.length;
  return html`${shown.map(({ machine, build, setAside = [], ...session }) =>
    facts({
      Started: when(session.started),
      Ended: when(session.ended),
      "Wall time": duration(session.seconds),
      Processor: `${machine.cpu}, ${machine.cores} ${machine.cores === 1 ? "core" : "cores"}`,
      Memory: `${fixed(machine.memoryBytes / 2 ** 30, 1)} GiB`,
      "Operating system": machine.system,
      Device: session.devices.join(", "),
      Threads: `${session.threads} a cell, ${count(session.jobs, "cell")} side by side`,
      Precision: precision,
      "transfer-limits": build.package,
      "Build (SHA-256 of the addon)": html`<code>${build.addon}</code>`,
      LibTorch: `${build.libtorch}, ${build.cpuCapability}${build.cuda === null ? "" : `, CUDA ${build.cuda}`}`,
      Compiler: build.compiler,
      Node: build.node,
      ...(setAside.length === 0 ? {} : { "Found damaged, and computed again": damages(setAside) }),
    }),
  )}${more > 0 ? html`<p>And ${count(more, "earlier session")}: results.json, cost.sessions.</p>` : null}`;
}

/** What training and validation were computed in, and on a GPU whether the same work gives the same bits. */
function precisionInWords({
  precision = "float32",
  deterministic,
  device,
}: StudyResults["software"]): string {
  const onCpu = !device.startsWith("cuda");
  if (precision === "tf32" && onCpu) return "tf32, which is float32 on a CPU";
  if (onCpu || deterministic === undefined) return precision;
  return `${precision}, ${deterministic ? "deterministic algorithms" : "algorithms that need not give the same bits twice"}`;
}

const sessionsShown = 5;

function damages(setAside: NonNullable<Session["setAside"]>): string {
  const { shown, more } = first(setAside, limits.foldedLines);
  const words = shown.map(({ file, reason, keptAs }) => `${file} (${reason}; kept as ${keptAs})`).join("; ");
  return more > 0 ? `${words}; and ${grouped(more)} more: results.json, cost.sessions` : words;
}

const facts = (entries: Record<string, string | Html>): Html =>
  html`<dl class="facts session">${Object.entries(entries).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/** Which case went where, to be saved from the page where it has room for it. */
function splitsLink(splits: Splits, assets: Assets): Html | null {
  const uri = assets.embed("application/json", `${JSON.stringify(splits, null, 2)}\n`);
  return uri === null ? null : html`<a download="splits.json" href="${uri}">Save splits</a> · `;
}

function seedsAndSplits({ results, splits }: StudyFolder, summary: Summary, assets: Assets): Html {
  const seeds = names(summary.seeds.map(String)) || "none";
  const files = splits
    ? html`<p class="downloads">${splitsLink(splits, assets)}beside this page: <a href="splits.json">splits.json</a></p>`
    : html`<p>splits.json could not be read.</p>`;
  const cohorts = summary.cohorts.map(({ manifest, split, tasks }) => {
    const where = tasks === null ? "" : ` of ${listing(tasks.map(kindInProse))}`;
    const unused = splits ? unusedOf(splits, tasks) : 0;
    return html`<p>Cohort${where}: ${manifest}. ${count(split.train, "case")} to train, ${split.validation} to validate,
${split.test} to test${unused > 0 ? `, ${count(unused, "case")} unused` : ""}.</p>`;
  });
  const masks = masksInWords(results.cohort.masks ?? []).map((words) => html`<p>${words}</p>`);
  const anew = results.cells.some(({ result }) => result?.division !== undefined)
    ? " Each divides the patients anew; sets and cases above are those of the first."
    : "";
  return html`${cohorts}${masks}<p>${summary.seeds.length === 1 ? "Seed" : "Seeds"}: ${seeds}.${anew}</p>${files}`;
}

/** Cases of a cohort that no set holds: of the one that a task names, or of the study's. */
function unusedOf(splits: Splits, tasks: readonly TaskName[] | null): number {
  const own = splits.others.find((other) => other.tasks.some((task) => tasks?.includes(task)));
  return (own ?? splits).unused.length;
}

/** That a cell was tried twice, and how the second time. */
const retried = ({ microBatch, reason }: Retry): string =>
  `At the first try memory was exhausted; at the second, ${count(microBatch, "case")} went through the network at a time (${reason})`;

function pretrainingRuns({ results }: StudyFolder): Html {
  return listOf(results.pretraining, (run) => {
    const cost = run.cost ? ` ${duration(run.cost.wallSeconds)} on ${run.cost.device}.` : "";
    const reason = run.reason === undefined ? "" : ` ${run.reason}`;
    const again = run.cost?.retry === undefined ? "" : ` ${retried(run.cost.retry)}.`;
    const seen = run.patients === undefined ? "" : ` It saw ${count(run.patients, "patient")}.`;
    const left = run.patientsLeftOut
      ? ` ${count(run.patientsLeftOut, "patient")} of its cohort left out: validated or tested on, or listed.`
      : "";
    return `${run.model}, seed ${run.seed}: ${run.status}, ${count(run.curve.length, "epoch")}.${seen}${left}${cost}${again}${reason}`;
  });
}

/** How training cases were changed, and in which trainings. */
function augmentations({ results }: StudyFolder): Html {
  const trainings = new Map<string, Set<string>>();
  for (const { task, strategy, model, result } of results.cells) {
    if (!result?.augmentation) continue;
    const words = augmentationInWords(result.augmentation);
    const found = trainings.get(words) ?? new Set();
    trainings.set(words, found.add(`${taskInProse({ task, strategy })} (${model})`));
  }
  return html`<p>Training cases were changed anew in every epoch; cases to validate and to test on never were.</p>
${listOf([...trainings], ([words, found]) => `${words}: ${names([...found])}.`)}`;
}

function exclusions({ results }: StudyFolder): Html {
  const { excluded } = results.cohort;
  if (excluded.length === 0) return html`<p>None: every case of the manifest could be read.</p>`;
  const { shown, more } = first(excluded, limits.rows);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Cases left out"><table><thead><tr><th scope="col">Case</th><th scope="col">File</th><th scope="col">Reason</th></tr></thead>
<tbody>${shown.map(
    (one) =>
      html`<tr><th scope="row">${one.case}</th><td>${one.file ?? "—"}</td><td class="reason">${one.reason}</td></tr>`,
  )}</tbody></table></div>${moreRows(more)}`;
}

const moreRows = (more: number): Html | null =>
  more === 0 ? null : html`<p class="quiet">And ${grouped(more)} more, in results.json.</p>`;

/** A list of at most as many lines as a table has rows. */
function listOf<Item>(items: readonly Item[], of: (item: Item) => string): Html {
  const { shown, more } = first(items, limits.foldedLines);
  return html`<ul>${shown.map((item) => html`<li>${of(item)}</li>`)}</ul>${moreRows(more)}`;
}

function cells({ results }: StudyFolder): Html {
  const { shown, more } = first(results.cells, limits.rows);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Cells"><table><thead><tr><th scope="col">Cell</th><th scope="col">Task</th><th scope="col">Model</th><th scope="col">Comparator</th><th scope="col">Seed</th><th scope="col">Status</th></tr></thead>
<tbody>${shown.map(
    (cell) =>
      html`<tr><th scope="row"><code>${cell.id}</code></th><td>${taskLabel(cell)}</td><td>${cell.model}</td><td>${comparatorLabel[cell.comparator]}</td><td>${cell.seed}</td><td class="reason">${cell.status}${cell.reason === undefined ? null : html`: ${cell.reason}`}${cell.result?.cost.retry === undefined ? null : html`. ${retried(cell.result.cost.retry)}`}</td></tr>\n`,
  )}</tbody></table></div>${moreRows(more)}`;
}
