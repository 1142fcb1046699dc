/** One datagram to a unix socket. */
import { addon } from "./addon.ts";

const native = addon as { datagramSend(path: string, text: string): void };

/** Sends without waiting; a path that begins with "@" is abstract. Throws the errno's error. */
export const sendDatagram = (path: string, text: string): void => native.datagramSend(path, text);
