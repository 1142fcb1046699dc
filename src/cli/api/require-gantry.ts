import type { Session } from "../session.ts";

/** Other daemons ignore in silence what they do not know. Throws an Error for them. */
export async function requireGantry(session: Session, what: string): Promise<void> {
  const { Components } = await session.client.json<{ Components?: { Name: string }[] }>("GET", "/version");
  if (!Components?.some(({ Name }) => Name === "gantry")) throw new Error(`${what} is only supported by gantryd`);
}
