/** Swarm commands that are not done yet: the daemon's own refusal comes first, as Docker's client would show it. */
import { messageOf } from "../../../lib/errors.ts";
import { inspectAll } from "../../inspect/inspect.ts";
import type { Session } from "../../session.ts";
import { notImplemented } from "../../status-error.ts";

const ROUTES: Record<string, string> = { ca: "/swarm", "join-token": "/swarm", update: "/swarm", "unlock-key": "/swarm/unlockkey", node: "/nodes", service: "/services", stack: "/services", secret: "/secrets", config: "/configs" };

export async function run(session: Session): Promise<void> {
  const [, group = "", action = ""] = session.called.split(" ");
  if (group === "stack" && ["deploy", "config"].includes(action) && session.flags.list("compose-file").length === 0) throw new Error("specify a Compose file (with --compose-file)");
  if (group === "swarm" && action === "unlock") {
    const { Swarm } = await session.client.json<{ Swarm: { LocalNodeState: string } }>("GET", "/info");
    if (Swarm.LocalNodeState === "inactive") throw new Error("error: this node is not part of a swarm");
  }
  const route = ROUTES[group === "swarm" ? action : group];
  if (route !== undefined && action === "inspect" && !session.flags.bool("pretty")) {
    const find = async (): Promise<string> => {
      await probe(session, route, action);
      throw notImplemented(session.called);
    };
    return inspectAll(session.args, { format: session.flags.string("format"), out: session.out, find });
  }
  if (route !== undefined) await probe(session, route, action);
  throw notImplemented(session.called);
}

async function probe(session: Session, route: string, action: string): Promise<void> {
  try {
    await session.client.text("GET", route);
  } catch (thrown) {
    throw action === "unlock-key" ? new Error(`could not fetch unlock key: ${messageOf(thrown)}`) : thrown;
  }
}
