import { path, readAll } from "../api/client.ts";
import type { ApiClient } from "../api/client.ts";
import { isLost } from "./reconnect.ts";
import { stderr } from "../streams.ts";

interface WaitAnswer {
  StatusCode: number;
  Error?: { Message?: string } | null;
}

const WAIT_FAILED = 125;

/** A container's exit that is waited for. */
export class Exit {
  /** Settles when it came, or cannot be known any more (`lost`: the daemon went away); never rejects. */
  readonly done: Promise<{ status: number; problem?: string; lost?: boolean }>;

  constructor(answer: Promise<string>) {
    this.done = answer.then(
      (text) => {
        const { StatusCode: status, Error: error } = JSON.parse(text) as WaitAnswer;
        return error?.Message ? { status: WAIT_FAILED, problem: error.Message } : { status };
      },
      (thrown: Error) => ({ status: WAIT_FAILED, problem: thrown.message, lost: isLost(thrown) }),
    );
  }

  /** The exit status; a failed wait is told on stderr. */
  async status(): Promise<number> {
    const { status, problem } = await this.done;
    if (problem !== undefined) stderr.line(`error waiting for container: ${problem}`);
    return status;
  }
}

/** Asks for a container's next exit (or its removal). Resolves when the daemon listens. */
export async function waitForExit(client: ApiClient, id: string, removed: boolean): Promise<Exit> {
  try {
    const response = await client.stream("POST", path`/containers/${id}/wait`, { query: { condition: removed ? "removed" : "next-exit" } });
    return new Exit(readAll(response.body));
  } catch (thrown) {
    return new Exit(Promise.reject(thrown));
  }
}
