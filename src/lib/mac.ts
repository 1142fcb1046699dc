/** Ethernet addresses. */

/** Six bytes of "02:42:ac:11:00:02" or "02-42-..."; undefined when `text` is none. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text) && !/^[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}

export const formatMac = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");

/** Makes of six random bytes a locally administered unicast address. */
export function localMac(random: Uint8Array): Uint8Array {
  const mac = Uint8Array.from(random);
  mac[0] = (mac[0]! & 0xfe) | 0x02;
  return mac;
}
