import { comparators } from "../common/vocabulary.js";
import { customProperties, looks, targetColour } from "./palette.js";

function variables(theme: "light" | "dark"): string {
  return customProperties(theme)
    .map(([name, colour]) => `${name}:${colour}`)
    .join(";");
}

const light = `${variables("light")};--card:#f7f8fa;--rule:#dde2e7;--link:#0b5a94;--shade:#0002;--notice:#fff4dc;--notice-ink:#5c3b00`;
const dark = `${variables("dark")};--card:#1b2026;--rule:#333b44;--link:#7fbdf0;--shade:#000a;--notice:#3a2d10;--notice-ink:#ffdf9e`;

/** The page's one style sheet. */
export const style = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,footer{max-width:1240px;margin:0 auto;padding:0 16px}
h1,h2,h3{line-height:1.25;overflow-wrap:anywhere}
h1{font-size:1.75rem;margin:.1em 0 .5em}
h2{font-size:1.35rem;margin:2em 0 .5em;padding-top:.7em;border-top:1px solid var(--rule)}
h2.small{font-size:1rem;margin:0 0 .4em;padding:0;border:0}
h3{font-size:1.05rem;margin:1.8em 0 .4em}
p{margin:.5em 0;max-width:76ch;overflow-wrap:anywhere}
li{overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.kicker{margin:28px 0 0;color:var(--muted);font-size:.9rem}
.quiet{color:var(--muted)}
p.quiet{font-size:.9rem}
.spoken{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.first{display:grid;grid-template-columns:minmax(0,1fr);gap:8px 36px;align-items:start}
@media (min-width:900px){.first:not(.alone){grid-template:auto 1fr/minmax(0,1fr) minmax(0,440px)}.first .picture{grid-area:1/2/3/3}}
@media (min-width:1060px){.first.pair{grid-template-columns:minmax(0,1fr) minmax(0,652px)}}
.first .figure{margin:0}
.first .figure h3{font-size:1rem;margin:0}
.first .panels-1 .drawing{max-width:440px}
.answer{font-size:1.15rem;line-height:1.4;margin:.4em 0 .3em;max-width:60ch;font-weight:600}
.rest{margin:.2em 0 1.2em}
.notice{background:var(--notice);color:var(--notice-ink);padding:.5em .8em;border-radius:6px;max-width:none}
nav{position:sticky;top:0;background:var(--page);border-bottom:1px solid var(--rule);max-width:none;z-index:3}
nav ul{display:flex;flex-wrap:wrap;gap:0 20px;list-style:none;margin:0 auto;padding:8px 16px;max-width:1240px;font-size:.9rem}
nav a{text-decoration:none;white-space:nowrap}
nav a:hover{text-decoration:underline}
section[id],figure[id]{scroll-margin-top:3.2em}
.facts{display:flex;flex-wrap:wrap;gap:10px 32px;margin:1em 0}
.facts dt,.meanings dt{color:var(--muted);font-size:.85rem}
.facts dd,.meanings dd{margin:0;overflow-wrap:anywhere}
.meanings div{margin:.5em 0}
.meanings dt{color:inherit;font-weight:600;font-size:1rem}
.claims{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:12px;margin:1em 0}
.claim{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.6em .9em;break-inside:avoid}
.claim h3{margin:.2em 0 .4em}
.claim dl,.claim p{margin:.3em 0}
.claim dt{font-weight:400;margin-top:.5em}
.claim dd{margin:0;font-size:.9rem;overflow-wrap:anywhere}
.paste{user-select:all;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.8em 1em;max-width:80ch;white-space:pre-line}
.notes ul{margin:.2em 0 1.4em;padding-left:1.2em}
.notes li{margin:.25em 0}
details{margin:.6em 0}
summary{cursor:pointer}
summary h3{display:inline;margin:0}
.fold{border-bottom:1px solid var(--rule);padding:.5em 0}
.table{margin:1em 0 1.6em}
.scroll{position:relative;overflow-x:auto;max-width:100%;background:linear-gradient(90deg,var(--page) 40%,transparent) left/40px 100%,linear-gradient(270deg,var(--page) 40%,transparent) right/40px 100%,linear-gradient(90deg,var(--shade),transparent) left/10px 100%,linear-gradient(270deg,var(--shade),transparent) right/10px 100%;background-repeat:no-repeat;background-attachment:local,local,scroll,scroll}
table{border-collapse:collapse;font-size:.84rem;font-variant-numeric:tabular-nums lining-nums}
caption{text-align:left;color:var(--muted);padding:0 0 .4em;font-size:.9rem}
caption span{display:block;position:sticky;left:0;max-width:calc(100vw - 34px)}
th,td{padding:5px 8px;text-align:left;vertical-align:baseline;white-space:nowrap;border-bottom:1px solid var(--rule)}
thead th{font-weight:600;border-bottom:1px solid var(--axis);vertical-align:bottom}
thead td{border-bottom:0}
thead th.group{white-space:normal;border-bottom:3px solid var(--rule);text-align:left;border-left:8px solid var(--page)}
tbody th{font-weight:600;position:sticky;left:0;background:var(--page);z-index:1}
th.number,th.number button{white-space:normal}th.number{max-width:11em}
.number,.spread{text-align:right}
.spread{color:var(--muted);padding-left:0}
.spread{padding-right:6px}.number{padding-left:6px}
@media screen{.most .number,.most .spread{padding-right:5px}.most .number{padding-left:4px}.most thead th.group{border-left-width:5px;padding-right:3px}}
td.spread:not(:empty)::before{content:"± "}
td.best strong{font-weight:750}
td.quiet,.warn{font-style:italic}
td.reason{white-space:normal;min-width:16em}
.words{white-space:normal;max-width:11.5em}
.narrow{display:none}
.narrow .metric{white-space:normal}
.direction{color:var(--muted)}
th button{all:unset;cursor:pointer;white-space:nowrap;position:relative;text-decoration:underline dotted var(--axis);text-underline-offset:3px}
th button:focus-visible{outline:2px solid var(--link)}
th[aria-sort] button{text-decoration:underline solid var(--ink)}
th[aria-sort] button::after{position:absolute;left:100%;font-size:.75em}
th[aria-sort=ascending] button::after{content:"▲"}
th[aria-sort=descending] button::after{content:"▼"}
.figure{margin:1.6em 0 2.2em;break-inside:avoid}
.figure h3{margin:0}
.figure figcaption p{margin:.2em 0 .6em;color:var(--muted);font-size:.9rem}
.figures{display:flex;flex-wrap:wrap;gap:0 28px}
.figures .figure{flex:3 1 920px;min-width:0}
.figures .panels-1{flex:1 1 300px}
.figures .panels-2{flex:2 1 580px}
.panels-2 .panels{display:flex;flex-wrap:wrap}
.panels-2 .panel{flex:1 1 280px;max-width:340px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:12px 20px}
.panel{min-width:0}
.drawing{display:block;width:100%;max-width:340px;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;padding:0;margin:.3em 0 .6em;font-size:.875rem}
.legend .drawing{display:inline-block;width:28px;height:16px;vertical-align:-3px;margin-right:3px}
.downloads{font-size:.8rem;color:var(--muted);margin:.4em 0 0;max-width:none}
.downloads a{margin:0 .2em}
.swatch{white-space:nowrap}
.swatch::before{content:"";display:inline-block;width:.7em;height:.7em;margin-right:.4em;border-radius:2px}
${comparators
  .map(
    (name) =>
      `.swatch.${name}::before{background:var(--${name})}thead th.group.${name}{border-bottom-color:var(--${name})}.outline.${name}{stroke:${looks[name].dark}}`,
  )
  .join("\n")}
.gallery p{color:var(--muted);font-size:.9rem;max-width:none}
.gallery{margin:.4em 0 1.5em}
.case{margin:0 0 1.6em;break-inside:avoid}
.case figcaption{font-size:.9rem;margin-bottom:.5em;overflow-wrap:anywhere}
.images{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,max-content);gap:10px;justify-content:start}
.image{min-width:0}
.image .swatch{white-space:normal}
.gallery .image p{width:0;min-width:100%;color:inherit;font-size:.8rem;margin:.25em 0 0;line-height:1.35}
.frame{position:relative;display:block;width:fit-content;max-width:100%;line-height:0;background:#000}
.frame+.frame{margin-top:4px}
.shape{display:block;max-width:100%;height:auto}
.frame img{position:absolute;inset:0;width:100%;height:100%}
.overlay{position:absolute;inset:0;width:100%;height:100%}
.overlay path{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.halo{stroke:#000;stroke-opacity:.55;stroke-width:3.2px}
.outline{stroke-width:1.8px}
.outline.target{stroke:${targetColour};stroke-width:1.4px;stroke-dasharray:4 3}
.outline.cut{stroke:#fff;stroke-width:1px}
.scale{display:inline-flex;align-items:center;gap:6px;font-variant-numeric:tabular-nums;white-space:nowrap}
.folds ul,.fold ul{padding-left:1.2em}
.study{columns:300px 4;column-gap:28px}
pre{font:.8rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:.6em 0}
code{font:.95em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{color:var(--muted);font-size:.85rem;margin-top:3em;padding-bottom:2em}
@media (max-width:500px){h1{font-size:1.4rem}.answer{font-size:1.1rem}nav{position:static}}
@media (max-width:720px){.images{grid-auto-flow:row;grid-template-columns:repeat(auto-fill,minmax(110px,1fr))}.image,.frame{width:auto}.shape{width:100%}.image:nth-child(3){grid-column-start:1}
th.wide,td.wide{display:none}.narrow{display:block;font-weight:400;color:var(--muted);font-size:.92em}tbody th{min-width:8em;max-width:9.5em;white-space:normal}tbody th .swatch{white-space:normal;display:block;padding-left:1.1em;text-indent:-1.1em}}
@page{size:A4;margin:14mm}
@media print{
:root{color-scheme:light;font-size:9.5pt;${light}}
body{font-size:9.5pt}
nav,.downloads{display:none}
main,footer{max-width:none;padding:0}
h2,h3,summary,.kicker,h2+p{break-after:avoid}
p,li,dl div{break-inside:avoid}
.answer{font-size:11.5pt}
.first,.first.pair{display:block}
.scroll{overflow:visible}
.table{break-inside:avoid}
.table.long{break-inside:auto}
table{font-size:8pt}
.many table{font-size:7pt}
.most table{font-size:6.2pt}
th,td,.number,.spread{padding:2px 3px}.most .number,.most .spread{padding:2px 1px}.most thead th.group{border-left-width:4px}
td,th,th button{white-space:normal}td.number,td.spread{white-space:nowrap}
tbody th{position:static;min-width:0;max-width:none}
.fold table{font-size:6.5pt}td.reason{min-width:6em}
th button{display:contents}
th button,th[aria-sort] button{text-decoration:none}
tr,.image,.figure,.panel,.case,.lead{break-inside:avoid}
thead{display:table-header-group}
.panels,.panels-2 .panels{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:8px}
.first .panels,.first .panels-2 .panels{grid-template-columns:repeat(2,minmax(0,1fr))}
.figures{display:block}
.images{grid-auto-flow:column;grid-template-columns:none;grid-auto-columns:minmax(0,92px);gap:6px}
.image:nth-child(3){grid-column-start:auto}
.gallery .image p{font-size:7pt}
th.wide,td.wide{display:table-cell}.narrow{display:none}
.scroll{background:none}
.frame,.swatch::before,.notice{print-color-adjust:exact;-webkit-print-color-adjust:exact}
a{color:inherit;text-decoration:none}
.study{columns:3;column-gap:14px}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:6.5pt}
}
`;
