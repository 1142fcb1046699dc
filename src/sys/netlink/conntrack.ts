/** The kernel's table of flows, by ctnetlink. */
import { ipToBytes } from "../../lib/ip.ts";
import type { IpAddress, IpFamily } from "../../lib/ip.ts";
import { NLM_F } from "./message.ts";
import type { MessageWriter } from "./message.ts";
import { portBytes } from "./nftables.ts";
import type { NetlinkRequest } from "./socket.ts";

const SUBSYSTEM_CTNETLINK = 1;
const DELETE = 2;
const CTA = { tupleOriginal: 1, tupleReply: 2, filter: 25 } as const;
const TUPLE = { ip: 1, protocol: 2 } as const;
const IP = { v4Source: 1, v6Source: 3 } as const;
const PROTOCOL = { number: 1, destinationPort: 3 } as const;
const FILTER = { original: 1, reply: 2 } as const;
const FIELD = { source: 1, protocol: 8, destinationPort: 32 } as const;
const AF = { 4: 2, 6: 10 } as const;

/** Flows of an IP protocol: all that somebody sent to a port, or all that an address answers. */
export type FlowFilter = { protocol: number } & ({ port: number; family: IpFamily } | { answeredBy: IpAddress });

/** Deletes them; kernels that do not delete by filter (before 6.11) refuse, and delete nothing. */
export function forgetFlowsRequest(filter: FlowFilter): NetlinkRequest {
  const byPort = "port" in filter;
  const write = (writer: MessageWriter): void => {
    writer.u8(AF[byPort ? filter.family : filter.answeredBy.family]).u8(0).u16be(0);
    writer.nested(byPort ? CTA.tupleOriginal : CTA.tupleReply, () => {
      if (!byPort) writer.nested(TUPLE.ip, () => writer.attributeBytes(filter.answeredBy.family === 4 ? IP.v4Source : IP.v6Source, ipToBytes(filter.answeredBy)));
      writer.nested(TUPLE.protocol, () => {
        writer.attributeBytes(PROTOCOL.number, Uint8Array.of(filter.protocol));
        if (byPort) writer.attributeBytes(PROTOCOL.destinationPort, portBytes(filter.port));
      });
    });
    writer.nested(CTA.filter, () => {
      writer.attributeBytes(FILTER.original, flags(byPort ? FIELD.protocol | FIELD.destinationPort : 0));
      writer.attributeBytes(FILTER.reply, flags(byPort ? 0 : FIELD.protocol | FIELD.source));
    });
  };
  return { what: "forget flows", type: (SUBSYSTEM_CTNETLINK << 8) | DELETE, flags: NLM_F.ACK, write };
}

function flags(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
