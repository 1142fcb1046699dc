/** A failure with an exit status of its own. An empty message prints nothing. */
export class StatusError extends Error {
  readonly status: number;
  constructor(status: number, message = "") {
    super(message);
    this.status = status;
  }
}

/** A failure of `run` or `create` before the container's process had a say: 125, with the hint that Docker adds. */
export function withHelp(program: string, command: string, thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return `${program}: ${message}\n\nRun '${program} ${command} --help' for more information`;
}

/** For commands that there are no parts for. `called`: with the program's name. */
export const notImplemented = (called: string): StatusError => new StatusError(1, `${called}: this command is not implemented yet`);
