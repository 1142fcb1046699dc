/** When a container that ended is started again, and after how long. Pure. */
export interface RestartPolicy {
  Name: string;
  MaximumRetryCount: number;
}

export interface Ending {
  exitCode: number;
  /** How often the policy has started it already. */
  restartCount: number;
  /** A user stopped it, or the daemon is going down. */
  stoppedByUser: boolean;
}

export const hasPolicy = ({ Name }: RestartPolicy): boolean => Name !== "" && Name !== "no";

/** Whether the policy starts a container again that ended while the daemon ran. */
export function shouldRestart(policy: RestartPolicy, ending: Ending): boolean {
  if (ending.stoppedByUser) return false;
  switch (policy.Name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return ending.exitCode !== 0 && (policy.MaximumRetryCount === 0 || ending.restartCount < policy.MaximumRetryCount);
    default:
      return false;
  }
}

/** Whether a container that is not running when the daemon starts is started: "always" also when a user had stopped it. */
export function shouldStartWithDaemon(policy: RestartPolicy, ending: Ending): boolean {
  if (policy.Name === "always") return true;
  return shouldRestart(policy, ending);
}

const FIRST_DELAY = 100;
const LONGEST_DELAY = 60_000;
/** A run of this length was healthy: the next delay is the first one again. */
const HEALTHY_MILLISECONDS = 10_000;

/** Milliseconds to wait before the next start, given the last delay and how long the container ran: 100 ms, doubled each time up to a minute. */
export function nextDelay(lastDelay: number, ranMilliseconds: number): number {
  if (lastDelay === 0 || ranMilliseconds >= HEALTHY_MILLISECONDS) return FIRST_DELAY;
  return Math.min(lastDelay * 2, LONGEST_DELAY);
}
