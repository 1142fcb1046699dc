import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  await session.client.text("POST", "/swarm/leave", { query: { force: session.flags.bool("force") || undefined } });
  session.out.line("Node left the swarm.");
}
