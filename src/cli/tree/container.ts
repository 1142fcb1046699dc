/** The commands below `container` and their flags; tree/types.ts says how an entry reads. */
import type { CommandTable } from "./types.ts";

const CREATE_FLAGS = `add-host:list annotation:map@1.43 attach/a:list blkio-weight:uint16 blkio-weight-device:list cap-add:list cap-drop:list
  cgroup-parent:string cgroupns:string@1.41 cidfile:string cpu-count:int64 cpu-percent:int64 cpu-period:int64 cpu-quota:int64
  cpu-rt-period:int64@1.25 cpu-rt-runtime:int64@1.25 cpu-shares/c:int64 cpus:decimal@1.25 cpuset-cpus:string cpuset-mems:string
  device:list device-cgroup-rule:list device-read-bps:list device-read-iops:list device-write-bps:list device-write-iops:list
  disable-content-trust=true!^ dns:list dns-opt:list! dns-option:list dns-search:list domainname:string egress:list entrypoint:string env/e:list
  env-file:list expose:list gpus:gpu-request@1.40 group-add:list health-cmd:string health-interval:duration health-retries:int
  health-start-interval:duration@1.44 health-start-period:duration@1.29 health-timeout:duration hostname/h:string init@1.25
  interactive/i io-maxbandwidth:bytes io-maxiops:uint64 ip:ip ip6:ip ipc:string isolation:string kernel-memory:bytes!^ label/l:list
  label-file:list link:list link-local-ip:list log-driver:string log-opt:list mac-address:string memory/m:bytes
  memory-reservation:bytes memory-swap:bytes memory-swappiness:int64=-1 mount:mount name:string net:network! net-alias:list!
  network:network network-alias:list no-healthcheck oom-kill-disable oom-score-adj:int pid:string pids-limit:int64
  platform:string@1.32 privileged publish/p:list publish-all/P read-only restart:string=no restart-unhealthy rm runtime:string security-opt:list
  shm-size:bytes stop-signal:string stop-timeout:int@1.25 storage-opt:list sysctl:map tmpfs:list tty/t ulimit:ulimit user/u:string
  userns:string uts:string volume/v:list volume-driver:string volumes-from:list workdir/w:string`;

export const COMMANDS: CommandTable = {
  container: {
    group: true,
  },
  "container attach": {
    usage: "[OPTIONS] CONTAINER",
    arguments: [1, 1],
    flags: "detach-keys:string no-stdin sig-proxy=true",
  },
  "container commit": {
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    arguments: [1, 2],
    flags: "author/a:string change/c:list message/m:string no-pause pause/p=true!^",
  },
  "container cp": {
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t{program} cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    arguments: [2, 2],
    flags: "archive/a follow-link/L quiet/q",
  },
  "container create": {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    arguments: [1, Infinity],
    flags: `${CREATE_FLAGS} pull:string=missing quiet/q use-api-socket`,
  },
  "container diff": {
    usage: "CONTAINER",
    arguments: [1, 1],
  },
  "container exec": {
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    arguments: [2, Infinity],
    flags: `detach/d detach-keys:string env/e:list@1.25 env-file:list@1.25 interactive/i privileged tty/t user/u:string workdir/w:string@1.35`,
  },
  "container export": {
    usage: "[OPTIONS] CONTAINER",
    arguments: [1, 1],
    flags: "output/o:string",
  },
  "container inspect": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "format/f:string size/s",
  },
  "container kill": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "exec signal/s:string",
  },
  "container logs": {
    usage: "[OPTIONS] CONTAINER",
    arguments: [1, 1],
    flags: "details follow/f since:string tail/n:string=all timestamps/t until:string@1.35",
  },
  "container ls": {
    aliases: ["ps", "list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "all/a filter/f:filter format:string last/n:int=-1 latest/l no-trunc quiet/q size/s",
  },
  "container pause": {
    usage: "CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
  },
  "container port": {
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    arguments: [1, 2],
  },
  "container prune": {
    usage: "[OPTIONS]",
    requires: ["version=1.25"],
    arguments: [0, 0],
    flags: "dry-run filter:filter force/f state:string",
  },
  "container rename": {
    usage: "CONTAINER NEW_NAME",
    arguments: [2, 2],
  },
  "container restart": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "signal/s:string time:int!^ timeout/t:int",
  },
  "container rm": {
    aliases: ["rm", "remove"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "force/f link/l volumes/v",
  },
  "container run": {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    arguments: [1, Infinity],
    flags: `${CREATE_FLAGS} detach/d detach-keys:string pull:string=missing quiet/q sig-proxy=true use-api-socket trace dry-run`,
  },
  "container start": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "attach/a checkpoint:string checkpoint-dir:string detach-keys:string interactive/i",
  },
  "container stats": {
    usage: "[OPTIONS] [CONTAINER...]",
    arguments: [0, Infinity],
    flags: "all/a format:string no-stream no-trunc",
  },
  "container stop": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "signal/s:string time:int!^ timeout/t:int",
  },
  "container top": {
    usage: "CONTAINER [ps OPTIONS]",
    arguments: [1, Infinity],
  },
  "container unpause": {
    usage: "CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
  },
  "container update": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: `blkio-weight:uint16 cpu-period:int64 cpu-quota:int64 cpu-rt-period:int64@1.25 cpu-rt-runtime:int64@1.25 cpu-shares/c:int64
      cpus:decimal@1.29 cpuset-cpus:string cpuset-mems:string kernel-memory:bytes!^ memory/m:bytes memory-reservation:bytes
      memory-swap:bytes pids-limit:int64@1.40 publish-add:list publish-rm:list restart:string
      device-add:list device-rm:list env-add:list env-rm:list label-add:list label-rm:list log-opt-add:list log-opt-rm:list mount-add:mount mount-rm:list`,
  },
  "container wait": {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arguments: [1, Infinity],
    flags: "condition:string",
  },
};
