/** Consecutive ports as one: `port` of the endpoint is published at `hostPort`, the next one at the next one, and so on. */
export interface PortRun {
  port: number;
  /** 0: none, for all of them. */
  hostPort: number;
  /** So many; absent: one. */
  count?: number;
}

export const countOf = ({ count = 1 }: { count?: number }): number => count;

/** `count` as runs have it. */
export const counted = (count: number): { count?: number } => (count === 1 ? {} : { count });

/** Each port as one of its own. */
export function singles<Run extends PortRun>(runs: readonly Run[]): Run[] {
  return runs.flatMap((run) => {
    if (countOf(run) === 1) return [run];
    const { count, ...first } = run;
    return Array.from({ length: count! }, (_, index) => ({ ...first, port: run.port + index, hostPort: hostPortAt(run, index) }) as unknown as Run);
  });
}

/** Consecutive ones of a kind as one, in the order of their first ports' places. */
export function joined<Run extends PortRun>(runs: readonly Run[], kindOf: (run: Run) => string): Run[] {
  const made: { first: Run; count: number }[] = [];
  const last = new Map<string, { first: Run; count: number }>();
  for (const run of runs) {
    const kind = kindOf(run);
    const before = last.get(kind);
    if (before && continues(before, run)) {
      before.count += countOf(run);
      continue;
    }
    const begun = { first: run, count: countOf(run) };
    made.push(begun);
    last.set(kind, begun);
  }
  return made.map(({ first, count }) => (count === countOf(first) ? first : { ...first, count }));
}

/** What is left of the runs without single ports; a run without any of these stays as it is. */
export function withoutSingles<Run extends PortRun>(runs: readonly Run[], isGone: (single: Run) => boolean): Run[] {
  return runs.flatMap((run) => {
    const all = singles([run]);
    const left = all.filter((single) => !isGone(single));
    return left.length === all.length ? [run] : joined(left, () => "");
  });
}

const hostPortAt = ({ hostPort }: PortRun, index: number): number => (hostPort === 0 ? 0 : hostPort + index);
const continues = ({ first, count }: { first: PortRun; count: number }, { port, hostPort }: PortRun): boolean => first.port + count === port && hostPort === hostPortAt(first, count);
