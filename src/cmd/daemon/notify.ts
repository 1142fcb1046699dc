/** Tells systemd about the daemon's state (sd_notify(3)), when it asks for that. */
import { sendDatagram } from "../../sys/datagram.ts";

export function notify(state: string): void {
  const socket = process.env["NOTIFY_SOCKET"];
  if (socket === undefined || socket === "") return;
  try {
    sendDatagram(socket, state);
  } catch {
    // Whoever asked is gone.
  }
}
