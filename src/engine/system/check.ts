/** `gantry system check`: the audits of all parts, and their repairs. */
import type { Audit, Finding } from "../../core/audit.ts";
import { messageOf } from "../../lib/errors.ts";

export interface CheckReport {
  counts: Record<string, number>;
  problems: CheckedProblem[];
}

export interface CheckedProblem {
  kind: Finding["kind"];
  id: string;
  problem: string;
  remedy: string;
  repaired: boolean;
}

export type Auditor = () => Promise<Audit> | Audit;

export class CheckService {
  readonly #auditors: readonly Auditor[];
  #running: Promise<unknown> = Promise.resolve();

  constructor(auditors: readonly Auditor[]) {
    this.#auditors = auditors;
  }

  /** One after the other. */
  check(options: { repair: boolean }): Promise<CheckReport> {
    const next = this.#running.then(() => this.#check(options));
    this.#running = next.catch(() => undefined);
    return next;
  }

  async #check({ repair }: { repair: boolean }): Promise<CheckReport> {
    const report: CheckReport = { counts: {}, problems: [] };
    for (const audit of this.#auditors) {
      const { counts, findings } = await audit();
      Object.assign(report.counts, counts);
      for (const finding of findings) report.problems.push(await settle(finding, repair));
    }
    return report;
  }
}

async function settle({ kind, id, problem, remedy = "", repair }: Finding, wanted: boolean): Promise<CheckedProblem> {
  const found = { kind, id, problem, remedy: repair ? "gantry system check --repair" : remedy, repaired: false };
  if (!wanted || !repair) return found;
  try {
    await repair();
    return { ...found, remedy: "", repaired: true };
  } catch (error) {
    return { ...found, remedy: `the repair failed: ${messageOf(error)}` };
  }
}
