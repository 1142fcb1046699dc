/** Sessions, in which a client offers its files and secrets to builds. There are no builds yet: a session is held for as long as its client wants, and never asked for anything. */
import { invalidParameter } from "../../lib/errors.ts";
import { watchDeparture } from "../departed.ts";
import { detach } from "../hijack.ts";
import type { Call, Route } from "../route.ts";

const PROTOCOL = "h2c";

export const sessionRoute: Route = { method: "POST", path: "/session", handler: hold };

function hold({ req, res }: Call): void {
  const protocol = req.headers.upgrade ?? "";
  if (protocol === "") throw invalidParameter("no upgrade proto in request");
  if (protocol !== PROTOCOL) throw invalidParameter(`protocol ${protocol} not supported`);
  const stream = detach(req, res);
  watchDeparture(stream);
  stream.once("end", () => stream.end());
  stream.resume();
  stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n\r\n`);
}
