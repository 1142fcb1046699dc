/**
 * Fault injection for tests: GANTRY_FAULT=name or name:n kills the process with SIGKILL when it passes the point of that
 * name for the n-th time. Without the variable a point costs one comparison.
 */
const [wanted, times] = (process.env["GANTRY_FAULT"] ?? "").split(":");
let left = Number(times ?? 1);

/** A step after which a crash must leave a state that the next start can explain. */
export function faultPoint(name: string): void {
  if (name !== wanted) return;
  left--;
  if (left === 0) process.kill(process.pid, "SIGKILL");
}
