import { path } from "../api/client.ts";
import type { ApiClient } from "../api/client.ts";
import { readAll } from "../api/client.ts";
import { stderr } from "../streams.ts";

interface WaitAnswer {
  StatusCode: number;
  Error?: { Message?: string } | null;
}

/** Asks for a container's next exit (or its removal). Resolves when the daemon listens, with the promise of the exit status. */
export async function waitForExit(client: ApiClient, id: string, removed: boolean): Promise<{ status: Promise<number> }> {
  const failed = (message: string): number => {
    stderr.line(`error waiting for container: ${message}`);
    return 125;
  };
  try {
    const response = await client.stream("POST", path`/containers/${id}/wait`, { query: { condition: removed ? "removed" : "next-exit" } });
    const status = readAll(response.body).then(
      (text) => {
        const answer = JSON.parse(text) as WaitAnswer;
        return answer.Error?.Message ? failed(answer.Error.Message) : answer.StatusCode;
      },
      (thrown: Error) => failed(thrown.message),
    );
    return { status };
  } catch (thrown) {
    return { status: Promise.resolve(failed((thrown as Error).message)) };
  }
}
