import type { Session } from "../../session.ts";
import { checks, copyVolume } from "./clone.ts";

export { checks };

export const run = (session: Session): Promise<void> => copyVolume(session, "snapshot");
