/** The commands below `network`, `volume`, `plugin`, `manifest` and their flags; tree/types.ts says how an entry reads. */
import type { CommandTable } from "./types.ts";

export const COMMANDS: CommandTable = {
  manifest: {
    group: true,
    usage: "COMMAND",
  },
  "manifest annotate": {
    usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
    arguments: [2, 2],
    flags: "arch:string os:string os-features:stringSlice os-version:string variant:string",
  },
  "manifest create": {
    usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
    arguments: [2, Infinity],
    flags: "amend/a insecure",
  },
  "manifest inspect": {
    usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    arguments: [1, 2],
    flags: "insecure verbose/v",
  },
  "manifest push": {
    usage: "[OPTIONS] MANIFEST_LIST",
    arguments: [1, 1],
    flags: "insecure purge/p",
  },
  "manifest rm": {
    usage: "MANIFEST_LIST [MANIFEST_LIST...]",
    arguments: [1, Infinity],
  },
  network: {
    group: true,
    requires: ["version=1.21"],
  },
  "network connect": {
    usage: "[OPTIONS] NETWORK CONTAINER",
    arguments: [2, 2],
    flags: "alias:stringSlice driver-opt:stringSlice gw-priority:int ip:ip ip6:ip link:list link-local-ip:ipSlice",
  },
  "network create": {
    usage: "[OPTIONS] NETWORK",
    arguments: [1, 1],
    flags: `attachable@1.25 aux-address:map config-from:string@1.30 config-only@1.30 driver/d:string=bridge egress:list gateway:ipSlice ingress@1.29
      internal ip-range:ipNetSlice ipam-driver:string=default ipam-opt:map ipv4=true ipv6 label:list opt/o:map scope:string@1.30
      subnet:stringSlice`,
  },
  "network disconnect": {
    usage: "[OPTIONS] NETWORK CONTAINER",
    arguments: [2, 2],
    flags: "force/f",
  },
  "network inspect": {
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    arguments: [1, Infinity],
    flags: "format/f:string verbose/v",
  },
  "network ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "filter/f:filter format:string no-trunc quiet/q tree",
  },
  "network move": {
    usage: "[OPTIONS] NETWORK",
    arguments: [1, 1],
    flags: "aux-address:map gateway:ipSlice ip-range:ipNetSlice subnet:stringSlice",
  },
  "network path": {
    usage: "[OPTIONS] FROM TO[:PORT]",
    arguments: [2, 2],
    flags: "format:string probe protocol:string",
  },
  "network prune": {
    usage: "[OPTIONS]",
    requires: ["version=1.25"],
    arguments: [0, 0],
    flags: "dry-run filter:filter force/f state:string",
  },
  "network rm": {
    aliases: ["remove"],
    usage: "NETWORK [NETWORK...]",
    arguments: [1, Infinity],
    flags: "force/f",
  },
  plugin: {
    group: true,
    requires: ["version=1.25"],
  },
  "plugin create": {
    usage: "[OPTIONS] PLUGIN PLUGIN-DATA-DIR",
    arguments: [2, Infinity],
    flags: "compress",
  },
  "plugin disable": {
    usage: "[OPTIONS] PLUGIN",
    arguments: [1, 1],
    flags: "force/f",
  },
  "plugin enable": {
    usage: "[OPTIONS] PLUGIN",
    arguments: [1, 1],
    flags: "timeout:int=30",
  },
  "plugin inspect": {
    usage: "[OPTIONS] PLUGIN [PLUGIN...]",
    arguments: [1, Infinity],
    flags: "format/f:string",
  },
  "plugin install": {
    usage: "[OPTIONS] PLUGIN [KEY=VALUE...]",
    arguments: [1, Infinity],
    flags: "alias:string disable disable-content-trust=true!^ grant-all-permissions",
  },
  "plugin ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "filter/f:filter format:string no-trunc quiet/q",
  },
  "plugin push": {
    usage: "[OPTIONS] PLUGIN[:TAG]",
    arguments: [1, 1],
    flags: "disable-content-trust=true!^",
  },
  "plugin rm": {
    aliases: ["remove"],
    usage: "[OPTIONS] PLUGIN [PLUGIN...]",
    arguments: [1, Infinity],
    flags: "force/f",
  },
  "plugin set": {
    usage: "PLUGIN KEY=VALUE [KEY=VALUE...]",
    arguments: [2, Infinity],
  },
  "plugin upgrade": {
    usage: "[OPTIONS] PLUGIN [REMOTE]",
    requires: ["version=1.26"],
    arguments: [1, 2],
    flags: "disable-content-trust=true!^ grant-all-permissions skip-remote-check",
  },
  volume: {
    group: true,
    usage: "COMMAND",
    requires: ["version=1.21"],
  },
  "volume backup": {
    usage: "[OPTIONS] VOLUME",
    arguments: [1, 1],
    flags: "no-pause output/o:string since:string",
  },
  "volume clone": {
    usage: "[OPTIONS] VOLUME NEW_VOLUME",
    arguments: [2, 2],
    flags: "label:list no-pause",
  },
  "volume create": {
    usage: "[OPTIONS] [VOLUME]",
    arguments: [0, 1],
    flags: `availability:string=active@1.42 driver/d:string=local group:string@1.42 label:list limit-bytes:bytes@1.42 name:string! opt/o:map
      required-bytes:bytes@1.42 scope:string=single@1.42 secret:map@1.42 sharing:string=none@1.42 topology-preferred:list@1.42
      topology-required:list@1.42 type:string=block@1.42`,
  },
  "volume inspect": {
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    arguments: [1, Infinity],
    flags: "format/f:string",
  },
  "volume ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "cluster@1.42 filter/f:filter format:string quiet/q",
  },
  "volume prune": {
    usage: "[OPTIONS]",
    requires: ["version=1.25"],
    arguments: [0, 0],
    flags: "all/a@1.42 dry-run filter:filter force/f state:string",
  },
  "volume rename": {
    usage: "VOLUME NEW_NAME",
    arguments: [2, 2],
  },
  "volume restore": {
    usage: "[OPTIONS] VOLUME",
    arguments: [1, 1],
    flags: "apply input/i:string",
  },
  "volume rm": {
    aliases: ["remove"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    arguments: [1, Infinity],
    flags: "force/f@1.25",
  },
  "volume snapshot": {
    usage: "[OPTIONS] VOLUME [NAME]",
    arguments: [1, 2],
    flags: "label:list no-pause",
  },
  "volume update": {
    usage: "[OPTIONS] [VOLUME]",
    requires: ["version=1.42"],
    arguments: [1, 1],
    flags: "availability:string=active@1.42 label-add:list label-rm:list",
  },
};
