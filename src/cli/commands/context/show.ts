import type { Session } from "../../session.ts";

export const run = (session: Session): void => session.out.line(session.contextName);
