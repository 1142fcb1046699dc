/** Datagrams of unix sockets. */
import { addon } from "./addon.ts";

const native = addon as { datagramSend(path: string, text: string): void; datagramBind(path: string): number };

/** Sends without waiting; a path that begins with "@" is abstract. Throws the errno's error. */
export const sendDatagram = (path: string, text: string): void => native.datagramSend(path, text);

/** A new socket that anybody may write to. A read of the fd gives one datagram, or fails with EAGAIN; whoever calls closes it. */
export const bindDatagram = (path: string): number => native.datagramBind(path);
