import type { LoadedWeights } from "../results/read-weights.js";
import { grouped } from "./format.js";
import { type Html, html } from "./html.js";
import { first, limits } from "./limits.js";

const percent = (share: number): string => `${(share * 100).toFixed(share < 1 && share > 0.999 ? 3 : 1)} %`;
const tensors = (number: number): string => `${number} ${number === 1 ? "tensor" : "tensors"}`;

/** One paragraph and one table a model: file, hash, key map, coverage, and every module. */
export function loadedWeights(all: readonly LoadedWeights[]): Html {
  const { shown, more } = first(all, limits.models);
  return html`${shown.map(({ model, file, report }) => {
    const { keyMap, coverage, embedding } = report;
    const changed = report.loaded.filter(({ change }) => change !== null).length;
    const missing = report.missing.filter(({ expected }) => !expected);
    const facts = {
      File: `${report.file.path} (${report.file.format}, ${report.file.bytes.toLocaleString("en")} bytes)`,
      "SHA-256": report.file.sha256,
      "Key map": `${keyMap.name}, ${keyMap.chosen}: ${keyMap.title}`,
      "Weights found under": `${report.file.state || "the file itself"}${report.file.prefix ? `, names without ${report.file.prefix}` : ""}`,
      "Encoder covered": `${percent(coverage.encoder)} of its parameters, ${percent(coverage.encoderTensors)} of its tensors`,
      Loaded: `${tensors(report.loaded.length)}, ${changed} of them reshaped`,
      "Not in the file": `${tensors(report.missing.length)}${report.missing.length > missing.length ? `, ${report.missing.length - missing.length} of which such files never hold` : ""}`,
      "Left over": tensors(report.leftOver.length),
      "Embedding of the probe volume":
        embedding === null || embedding.change === null
          ? "not measured"
          : `changed by ${percent(embedding.change)} of its length against ${embedding.before}`,
      "Spatial axes": `${report.orientation.verdict}. ${report.orientation.words}`,
    };
    const notes = [...(report.refusal === null ? [] : [`Refused: ${report.refusal}`]), ...report.warnings];
    return html`<h4>${model}</h4>
<dl class="facts">${Object.entries(facts).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
${notes.length === 0 ? null : html`<ul>${first(notes, limits.foldedLines).shown.map((note) => html`<li>${note}</li>`)}</ul>`}
${modulesTable(report)}
<p class="downloads">Beside this page, with every tensor: <a href="${file}">${file}</a></p>`;
  })}${more > 0 ? html`<p>And those of ${grouped(more)} more models, in weights/.</p>` : null}`;
}

function modulesTable({ modules }: LoadedWeights["report"]): Html {
  const { shown, more } = first(modules, limits.rows);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Modules"><table><thead><tr><th scope="col">Module</th><th scope="col">Tensors loaded</th><th scope="col">Parameters loaded</th></tr></thead>
<tbody>${shown.map(
    ({ name, tensors: all, loaded, parameters, parametersLoaded }) =>
      html`<tr><th scope="row"><code>${name}</code></th><td>${loaded} of ${all}</td><td>${parametersLoaded.toLocaleString("en")} of ${parameters.toLocaleString("en")}</td></tr>\n`,
  )}</tbody></table></div>${more > 0 ? html`<p>And ${more.toLocaleString("en")} more modules.</p>` : null}`;
}
