/** The bench's table as text and Markdown, and its plot. */
import { cpus, release, totalmem } from "node:os";
import type { Line, Stat } from "./measure.ts";
import { explanations } from "./explanations.ts";

export interface Result {
  lines: Line[];
  failures: string[];
  missing: string[];
}

const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const figure = ({ median, low, high }: Stat, unit: string): string => `${digits(median)} ${unit} [${digits(low)}-${digits(high)}]`;
const targetText = (target: Line["target"]): string => (target === undefined ? "" : "most" in target ? `≤ ${target.most}` : `≥ ${target.least}`);

export function met({ ratio, target }: Line): boolean | undefined {
  if (ratio === undefined || target === undefined) return undefined;
  return "most" in target ? ratio <= target.most : ratio >= target.least;
}

function verdict(line: Line): string {
  const done = met(line);
  return done === undefined ? "" : done ? "met" : "missed";
}

function cells(line: Line): string[] {
  return [line.id, line.what, figure(line.ours, line.unit), line.theirs === undefined ? "" : figure(line.theirs, line.unit), line.peer, line.ratio === undefined ? "" : line.ratio.toFixed(3), targetText(line.target), verdict(line)];
}

const heads = ["#", "what is run", "Gantry", "peer", "which peer", "ratio", "target", ""];

export function tableText({ lines, failures, missing }: Result): string {
  const rows = [heads, ...lines.map(cells)];
  const widths = heads.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const text = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n");
  return `${text}\n${[...failures.map((line) => `failed: ${line}`), ...missing.map((line) => `missing: ${line}`)].join("\n")}\n`;
}

export function document({ lines, failures, missing }: Result): string {
  const table = [heads, heads.map(() => "---"), ...lines.map(cells)].map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");
  const list = (items: string[]): string => items.map((item) => `- ${item}`).join("\n");
  const misses = lines.filter((line) => met(line) === false);
  const missed = misses.map((line) => `Row ${line.id} (${line.what}): ${line.ratio?.toFixed(3)} instead of ${targetText(line.target)}. ${explanations[line.id] ?? "Not explained yet."}`);
  return `# Performance

Written by \`npm run bench\`; the programs are in bench/. Every figure is taken in turn with its peer, on the same machine in the same run:
the median, and in brackets the 10th and 90th percentile. The ratio is Gantry's figure divided by the peer's: small is good for times and
sizes, large for rates. Each engine runs alone in a throw-away machine of namespaces, with its exec root in the machine's /run, a tmpfs, and is driven
through its API unless a client is named. In row 7a each engine runs 20 execs when its turn has come; in 7b one, after the other has used both processors for
fifty milliseconds: that is what an exec costs whose programs are in no cache.

This run: ${cpus().length} CPUs (${cpus()[0]?.model.trim() ?? "unknown"}), ${Math.round(totalmem() / 2 ** 30)} GiB, kernel ${release()}, Node ${process.version}.

![ratios against targets](performance.svg)

${table}

${lines.some((line) => line.note !== undefined) ? `${list(lines.filter((line) => line.note !== undefined).map((line) => `Row ${line.id}: ${line.note}.`))}\n\n` : ""}## Targets missed, and where the time goes

${missed.length === 0 ? "None in this run." : list(missed)}

## Not measured

${list([
  ...failures,
  ...missing,
  "Row 10 (build): it comes in a later version. Row 14 over VXLAN: there are no overlay networks.",
  "Row 15, p99 of /_ping while pulling and building: measured while importing and starting instead.",
])}
`;
}

/** Each line as a bar on a logarithmic scale: how many times better than its target (right) or worse (left). */
export function plot(lines: Line[]): string {
  const shown = lines.flatMap((line) => {
    if (line.ratio === undefined || line.target === undefined) return [];
    return [{ line, margin: "most" in line.target ? line.target.most / line.ratio : line.ratio / line.target.least }];
  });
  const rowHeight = 22;
  const middle = 620;
  const perDecade = 180;
  const height = shown.length * rowHeight + 60;
  const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const bars = shown.map(({ line, margin }, index) => {
    const length = Math.max(-perDecade, Math.min(perDecade * 1.6, Math.log10(margin) * perDecade));
    const y = 40 + index * rowHeight;
    const text = margin >= 1 ? `${digits(margin)}x better` : `${digits(1 / margin)}x short`;
    return [
      `<text x="10" y="${y + 13}">${escape(`${line.id}  ${line.what}`.slice(0, 68))}</text>`,
      `<rect x="${length < 0 ? middle + length : middle}" y="${y + 2}" width="${Math.abs(length).toFixed(1)}" height="15" fill="${margin >= 1 ? "#2a7f62" : "#c8553d"}"/>`,
      `<text x="${length < 0 ? middle + 6 : middle + length + 6}" y="${y + 13}">${text}</text>`,
    ].join("\n");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 ${height}" font-family="sans-serif" font-size="12">
<rect width="1000" height="${height}" fill="#fff"/>
<text x="10" y="20" font-size="14">Distance to the target against the peer, logarithmic</text>
<line x1="${middle}" y1="30" x2="${middle}" y2="${height - 14}" stroke="#333"/>
<text x="${middle + 6}" y="${height - 4}">target</text>
${bars.join("\n")}
</svg>
`;
}
