/** The commands below `image` and their flags; tree/types.ts says how an entry reads. */
import type { CommandEntry, CommandTable } from "./types.ts";

/** Also by its other name, `builder build`. */
export const BUILD: CommandEntry = {
  usage: "[OPTIONS] PATH | URL | -",
  arguments: [1, 1],
  flags: `add-host:list build-arg:list cache-from:stringSlice cgroup-parent:string compress cpu-period:int64 cpu-quota:int64
    cpu-shares/c:int64 cpuset-cpus:string cpuset-mems:string disable-content-trust=true!^ file/f:string force-rm iidfile:string
    isolation:string label:list memory/m:bytes memory-swap:bytes network:string=default@1.25 no-cache platform:string@1.38 pull
    quiet/q rm=true security-opt:stringSlice shm-size:bytes squash@1.25 tag/t:list target:string ulimit:ulimit`,
};

export const COMMANDS: CommandTable = {
  image: {
    group: true,
  },
  "image build": BUILD,
  "image history": {
    usage: "[OPTIONS] IMAGE",
    arguments: [1, 1],
    flags: "format:string human/H=true no-trunc platform:string@1.48 quiet/q",
  },
  "image import": {
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    arguments: [1, Infinity],
    flags: "change/c:list message/m:string platform:string@1.32",
  },
  "image inspect": {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    arguments: [1, Infinity],
    flags: "format/f:string platform:string@1.49",
  },
  "image load": {
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "input/i:string platform:stringSlice@1.48 quiet/q",
  },
  "image ls": {
    aliases: ["list"],
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    arguments: [0, 1],
    flags: "all/a digests filter/f:filter format:string no-trunc quiet/q tree@1.47",
  },
  "image prune": {
    usage: "[OPTIONS]",
    requires: ["version=1.25"],
    arguments: [0, 0],
    flags: "all/a dry-run filter:filter force/f state:string",
  },
  "image pull": {
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    arguments: [1, 1],
    flags: "all-tags/a disable-content-trust=true!^ platform:string@1.32 quiet/q",
  },
  "image push": {
    usage: "[OPTIONS] NAME[:TAG]",
    arguments: [1, 1],
    flags: "all-tags/a disable-content-trust=true!^ platform:string@1.46 quiet/q",
  },
  "image rm": {
    aliases: ["rmi", "remove"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    arguments: [1, Infinity],
    flags: "force/f no-prune platform:stringSlice@1.50",
  },
  "image save": {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    arguments: [1, Infinity],
    flags: "output/o:string platform:stringSlice@1.48",
  },
  "image tag": {
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    arguments: [2, 2],
  },
};
