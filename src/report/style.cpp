#include "report/sections.h"

namespace tenfold {

std::string_view report_style() {
  return R"css(
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --ink: #1f1d1a; --soft: #6a655c; --faint: #a39d92; --rule: #e5e1d8; --wash: #f4f1ea;
  --a: #8c857a; --b: #077f62; --c: #3c62a8; --d: #a2542f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161614; --ink: #e8e4dc; --soft: #a29c91; --faint: #6f6a61; --rule: #2e2c28; --wash: #1f1e1b;
    --a: #9c968b; --b: #35d3a6; --c: #86a9ea; --d: #e2966e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", "URW Palladio L", Georgia, "DejaVu Serif", serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 4rem 1.5rem 5rem; }
.kicker { margin: 0 0 .6rem; color: var(--soft); font-size: .8125rem; letter-spacing: .09em; text-transform: uppercase; }
h1 { margin: 0 0 1rem; font-size: clamp(1.9rem, 5vw, 2.9rem); line-height: 1.15; font-weight: 600; letter-spacing: -.012em; text-wrap: balance; }
h2 { margin: 0 0 .35rem; font-size: 1.45rem; line-height: 1.25; font-weight: 600; letter-spacing: -.005em; }
h3 { margin: 1.8rem 0 .5rem; font-size: 1.05rem; font-weight: 600; }
p { margin: 0 0 .9rem; max-width: 42rem; }
.lede { font-size: 1.15rem; line-height: 1.55; color: var(--soft); max-width: 44rem; }
.note { color: var(--soft); font-size: .9375rem; }
section { margin-top: 3.2rem; padding-top: 1.6rem; border-top: 1px solid var(--rule); }
b, strong { font-weight: 600; }
.run-a { color: var(--a); } .run-b { color: var(--b); } .run-c { color: var(--c); } .run-d { color: var(--d); }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: 1.1rem 1.25rem; margin: 1.6rem 0 0; }
.tile { border-top: 2px solid var(--ink); padding-top: .45rem; }
.tile .name { display: block; color: var(--soft); font-size: .875rem; line-height: 1.35; }
.tile .value { display: block; font-size: 1.4rem; line-height: 1.3; font-variant-numeric: lining-nums tabular-nums; white-space: nowrap; }
.tile .more { display: block; color: var(--soft); font-size: .8125rem; line-height: 1.4; }

.scroll { margin-bottom: 1rem; overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: .9375rem; line-height: 1.45; font-variant-numeric: lining-nums tabular-nums; }
th, td { padding: .38rem 1.1rem .38rem 0; text-align: left; vertical-align: top; }
thead th { color: var(--soft); font-weight: 400; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody th { font-weight: 400; }
tfoot > tr > * { border-top: 1px solid var(--ink); font-weight: 600; }
th.asked { max-width: 30rem; min-width: 15rem; } th.asked em { color: var(--soft); }
.num { text-align: right; white-space: nowrap; }
.bar { display: inline-block; width: 6rem; height: .5rem; margin-left: .7rem; background: var(--rule); border-radius: .25rem; overflow: hidden; vertical-align: .06em; }
.bar > span { display: block; height: 100%; background: currentColor; }

.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.6rem 2.4rem; margin-top: 1.2rem; }
figure { margin: 0; min-width: 0; }
figcaption { margin-bottom: .5rem; display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
figcaption .score { font-variant-numeric: lining-nums tabular-nums; color: var(--soft); white-space: nowrap; }
table.heat { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 2px; font-size: .8125rem; }
table.heat th { padding: .15rem .1rem; border: 0; color: var(--soft); text-align: center; font-weight: 400; white-space: nowrap; }
table.heat tbody th { text-align: right; padding-right: .5rem; vertical-align: middle; }
table.heat col.depth { width: 3.2rem; }
table.heat td { padding: 0; border: 0; height: 2.7rem; text-align: center; vertical-align: middle; border-radius: 3px; line-height: 1.15; cursor: default; }
table.heat td .mark { display: block; font-size: .75rem; }
table.heat td.open { background: var(--wash); color: var(--faint); }
table.heat.many td { height: 1.5rem; font-size: .625rem; }
table.heat.many td .mark { display: none; }
table.heat caption { caption-side: bottom; padding-top: .3rem; color: var(--soft); font-size: .8125rem; text-align: center; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .9rem; margin-top: 1.1rem; color: var(--soft); font-size: .8125rem; }
.legend .ramp { width: 9rem; height: .6rem; border-radius: .3rem; background: linear-gradient(90deg, #f0496e, #ebb839, #0cd79f); }

.chart { display: block; width: 100%; height: auto; margin: 1.1rem 0 .3rem; overflow: visible; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0 2rem; }
.chart text { fill: var(--soft); font-size: 13px; font-variant-numeric: lining-nums tabular-nums; }
.chart .name { fill: var(--ink); }
.chart .end { text-anchor: end; } .chart .middle { text-anchor: middle; }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line-a { stroke: var(--a); } .line-b { stroke: var(--b); } .line-c { stroke: var(--c); } .line-d { stroke: var(--d); }
.chart path.line-faint { stroke: var(--faint); stroke-width: 1; opacity: .75; }
.chart path.line-a { stroke-dasharray: 6 4; }
.dot { stroke: var(--paper); stroke-width: 2; } .dot.line-a { fill: var(--a); } .dot.line-b { fill: var(--b); } .dot.line-c { fill: var(--c); } .dot.line-d { fill: var(--d); }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin-top: 1rem; font-size: .875rem; }
.keys span::before { content: ""; display: inline-block; width: 1.6rem; margin-right: .5rem; vertical-align: .25em; border-top: 2px solid currentColor; }
.keys .run-a::before { border-top-style: dashed; }
.keys .faint { color: var(--faint); }

pre { margin: .5rem 0 1rem; padding: .8rem 1rem; background: var(--wash); border-radius: 4px; overflow-x: auto;
  font: .8125rem/1.55 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
details { border-bottom: 1px solid var(--rule); }
details > summary { padding: .55rem 0; cursor: pointer; }
details > summary::marker { color: var(--faint); }
details[open] > summary { margin-bottom: .3rem; }
td.said { unicode-bidi: isolate; min-width: 14rem; max-width: 28rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.answers td, .answers th { font-size: .875rem; }
.yes { color: var(--b); } .no { color: #c8365a; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--soft); font-size: .875rem; }
@media (max-width: 34rem) {
  main { padding: 2.2rem 1.1rem 3rem; }
  section { margin-top: 2.4rem; }
  .bar { width: 3rem; }
  th, td { padding-right: .6rem; }
}
@media print { body { background: none; } main { max-width: none; padding: 0; } section { break-inside: avoid; } }
)css";
}

}  // namespace tenfold
