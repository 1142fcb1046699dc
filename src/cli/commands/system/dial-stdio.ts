/** Joins the standard streams with a connection to the daemon: what clients run over ssh. */
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Session } from "../../session.ts";
import { stdin } from "../../streams.ts";

export async function run({ client, out }: Session): Promise<void> {
  const socket = (await client.dial()) as Socket;
  const sending = (async () => {
    for await (const chunk of stdin.bytes()) if (!socket.write(chunk)) await once(socket, "drain");
    socket.end();
  })();
  sending.catch(() => socket.destroy());
  for await (const chunk of socket) out.write(chunk as Buffer);
  // Whoever reads nothing more is not asked for more.
  process.exit(0);
}
