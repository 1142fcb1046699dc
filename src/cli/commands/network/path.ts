import { quote } from "../../../lib/strconv.ts";
import type { FlagCheck } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

interface Path {
  From: string;
  To: string;
  Destination: string;
  Protocol: string;
  Port?: number;
  Reached: "yes" | "no" | "maybe";
  Steps: { Where: string; Kind: string; Verdict: "pass" | "stop" | "maybe" | "note"; Text: string }[];
  Probe?: { Succeeded: boolean; Text: string };
}

const SIGN = { pass: " ", stop: "x", maybe: "?", note: "-" } as const;
const OUTCOME = { yes: "It arrives.", no: "It does not arrive.", maybe: "It arrives, unless a rule marked with ? says otherwise." } as const;

export const checks: Record<string, FlagCheck> = {
  format: (text) => {
    if (text !== "json") throw new Error(`unknown format ${quote(text)}: there is json`);
    return text;
  },
};

export async function run(session: Session): Promise<void> {
  const { flags, args, client, out } = session;
  const [from = "", to = ""] = args;
  const path = await client.json<Path>("GET", "/gantry/networks/path", { query: { from, to, protocol: flags.string("protocol") || undefined, probe: flags.bool("probe") || undefined } });
  out.write(flags.string("format") === "json" ? `${JSON.stringify(path)}\n` : textOf(path));
  if (path.Reached === "no" || path.Probe?.Succeeded === false) throw new StatusError(1, "");
}

function textOf({ Steps, Reached, Probe }: Path): string {
  const [wide, kinds] = [Math.max(0, ...Steps.map(({ Where }) => Where.length)), Math.max(0, ...Steps.map(({ Kind }) => Kind.length))];
  const lines = Steps.map(({ Where, Kind, Verdict, Text }, index) => `${SIGN[Verdict]} ${(Steps[index - 1]?.Where === Where ? "" : Where).padEnd(wide)}  ${Kind.padEnd(kinds)}  ${Text}`);
  return `${[...lines, OUTCOME[Reached], ...(Probe ? [`Probe: ${Probe.Text}`] : [])].join("\n")}\n`;
}
