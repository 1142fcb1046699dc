/** The commands below `swarm`, `node`, `service`, `secret`, `config`, `stack` and their flags; tree/types.ts says how an entry reads. */
import type { CommandTable } from "./types.ts";

const SERVICE_FLAGS = `cap-add:list@1.41 cap-drop:list@1.41 credential-spec:credential-spec@1.29 detach/d@1.29 entrypoint:command health-cmd:string@1.25
  health-interval:duration@1.25 health-retries:int@1.25 health-start-interval:duration@1.44 health-start-period:duration@1.29
  health-timeout:duration@1.25 hostname:string@1.25 init@1.37 isolation:string@1.35 limit-cpu:decimal limit-memory:bytes
  limit-pids:int64@1.41 log-driver:string log-opt:list max-concurrent:uint@1.41 memory-swap:bytes@1.52
  memory-swappiness:int64=-1@1.52 no-healthcheck@1.25 no-resolve-image@1.30 oom-score-adj:int64@1.46 quiet/q read-only@1.28
  replicas:uint replicas-max-per-node:uint64@1.40 reserve-cpu:decimal reserve-memory:bytes restart-condition:string
  restart-delay:duration restart-max-attempts:uint restart-window:duration rollback-delay:duration@1.28
  rollback-failure-action:string@1.28 rollback-max-failure-ratio:float@1.28 rollback-monitor:duration@1.28
  rollback-order:string@1.29 stop-grace-period:duration stop-signal:string@1.28 tty/t@1.25 update-delay:duration
  update-failure-action:string update-max-failure-ratio:float@1.25 update-monitor:duration@1.25 update-order:string@1.29
  user/u:string with-registry-auth workdir/w:string`;

export const COMMANDS: CommandTable = {
  config: {
    group: true,
    requires: ["swarm=manager", "version=1.30"],
  },
  "config create": {
    usage: "[OPTIONS] CONFIG file|-",
    arguments: [2, 2],
    flags: "label/l:list template-driver:string@1.37",
  },
  "config inspect": {
    usage: "[OPTIONS] CONFIG [CONFIG...]",
    arguments: [1, Infinity],
    flags: "format/f:string pretty",
  },
  "config ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "filter/f:filter format:string quiet/q",
  },
  "config rm": {
    aliases: ["remove"],
    usage: "CONFIG [CONFIG...]",
    arguments: [1, Infinity],
  },
  node: {
    group: true,
    requires: ["swarm=manager", "version=1.24"],
  },
  "node demote": {
    usage: "NODE [NODE...]",
    arguments: [1, Infinity],
  },
  "node inspect": {
    usage: "[OPTIONS] self|NODE [NODE...]",
    arguments: [1, Infinity],
    flags: "format/f:string pretty",
  },
  "node ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "filter/f:filter format:string quiet/q",
  },
  "node promote": {
    usage: "NODE [NODE...]",
    arguments: [1, Infinity],
  },
  "node ps": {
    usage: "[OPTIONS] [NODE...]",
    arguments: [0, Infinity],
    flags: "filter/f:filter format:string no-resolve no-trunc quiet/q",
  },
  "node rm": {
    aliases: ["remove"],
    usage: "[OPTIONS] NODE [NODE...]",
    arguments: [1, Infinity],
    flags: "force/f",
  },
  "node update": {
    usage: "[OPTIONS] NODE",
    arguments: [1, 1],
    flags: "availability:string label-add:list label-rm:list role:string",
  },
  secret: {
    group: true,
    requires: ["swarm=manager", "version=1.25"],
  },
  "secret create": {
    usage: "[OPTIONS] SECRET [file|-]",
    arguments: [1, 2],
    flags: "driver/d:string@1.31 label/l:list template-driver:string@1.37",
  },
  "secret inspect": {
    usage: "[OPTIONS] SECRET [SECRET...]",
    arguments: [1, Infinity],
    flags: "format/f:string pretty",
  },
  "secret ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "filter/f:filter format:string quiet/q",
  },
  "secret rm": {
    aliases: ["remove"],
    usage: "SECRET [SECRET...]",
    arguments: [1, Infinity],
  },
  service: {
    group: true,
    requires: ["swarm=manager", "version=1.24"],
  },
  "service create": {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    arguments: [1, Infinity],
    flags: `${SERVICE_FLAGS}
      config:config@1.30 constraint:list container-label:list dns:list@1.25 dns-option:list@1.25 dns-search:list@1.25
      endpoint-mode:string=vip env/e:list env-file:list generic-resource:list group:list@1.25 host:list@1.25 label/l:list
      mode:string=replicated mount:mount name:string network:network placement-pref:pref@1.28 publish/p:port
      rollback-parallelism:uint64=1@1.28 secret:secret@1.25 sysctl:list@1.40 ulimit:ulimit@1.41 update-parallelism:uint64=1`,
  },
  "service inspect": {
    usage: "[OPTIONS] SERVICE [SERVICE...]",
    arguments: [1, Infinity],
    flags: "format/f:string pretty",
  },
  "service logs": {
    usage: "[OPTIONS] SERVICE|TASK",
    requires: ["version=1.29"],
    arguments: [1, 1],
    flags: "details@1.30 follow/f no-resolve no-task-ids no-trunc raw@1.30 since:string tail/n:string=all timestamps/t",
  },
  "service ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "filter/f:filter format:string quiet/q",
  },
  "service ps": {
    usage: "[OPTIONS] SERVICE [SERVICE...]",
    arguments: [1, Infinity],
    flags: "filter/f:filter format:string no-resolve no-trunc quiet/q",
  },
  "service rm": {
    aliases: ["remove"],
    usage: "SERVICE [SERVICE...]",
    arguments: [1, Infinity],
  },
  "service rollback": {
    usage: "[OPTIONS] SERVICE",
    requires: ["version=1.31"],
    arguments: [1, 1],
    flags: "detach/d@1.29 quiet/q",
  },
  "service scale": {
    usage: "SERVICE=REPLICAS [SERVICE=REPLICAS...]",
    arguments: [1, Infinity],
    flags: "detach/d@1.29",
  },
  "service update": {
    usage: "[OPTIONS] SERVICE",
    arguments: [1, 1],
    flags: `${SERVICE_FLAGS}
      args:command config-add:config@1.30 config-rm:list@1.30 constraint-add:list constraint-rm:list container-label-add:list
      container-label-rm:list dns-add:list@1.25 dns-option-add:list@1.25 dns-option-rm:list@1.25 dns-rm:list@1.25
      dns-search-add:list@1.25 dns-search-rm:list@1.25 endpoint-mode:string env-add:list env-rm:list force@1.25
      generic-resource-add:list@1.32 generic-resource-rm:list@1.32 group-add:list@1.25 group-rm:list@1.25 host-add:list@1.25
      host-rm:list@1.25 image:string label-add:list label-rm:list mount-add:mount mount-rm:list network-add:network@1.29
      network-rm:list@1.29 placement-pref-add:pref@1.28 placement-pref-rm:pref@1.28 publish-add:port publish-rm:port rollback@1.25
      rollback-parallelism:uint64@1.28 secret-add:secret@1.25 secret-rm:list@1.25 sysctl-add:list@1.40 sysctl-rm:list@1.40
      ulimit-add:ulimit@1.41 ulimit-rm:list@1.41 update-parallelism:uint64`,
  },
  stack: {
    group: true,
    usage: "COMMAND",
    requires: ["swarm=manager", "version=1.25"],
    flags: "orchestrator:string!^",
  },
  "stack config": {
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "compose-file/c:stringSlice skip-interpolation",
  },
  "stack deploy": {
    aliases: ["up"],
    usage: "[OPTIONS] STACK",
    arguments: [1, 1],
    flags: `compose-file/c:stringSlice@1.25 detach/d=true prune@1.27 quiet/q resolve-image:string=always@1.30 with-registry-auth`,
  },
  "stack ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "format:string",
  },
  "stack ps": {
    usage: "[OPTIONS] STACK",
    arguments: [1, 1],
    flags: "filter/f:filter format:string no-resolve no-trunc quiet/q",
  },
  "stack rm": {
    aliases: ["remove", "down"],
    usage: "[OPTIONS] STACK [STACK...]",
    arguments: [1, Infinity],
    flags: "detach/d=true",
  },
  "stack services": {
    usage: "[OPTIONS] STACK",
    arguments: [1, 1],
    flags: "filter/f:filter format:string quiet/q",
  },
  swarm: {
    group: true,
    requires: ["swarm", "version=1.24"],
  },
  "swarm ca": {
    usage: "[OPTIONS]",
    requires: ["swarm=manager", "version=1.30"],
    arguments: [0, 0],
    flags: `ca-cert:pem-file ca-key:pem-file cert-expiry:duration=2160h0m0s detach/d external-ca:external-ca quiet/q rotate`,
  },
  "swarm init": {
    usage: "[OPTIONS]",
    requires: ["swarm", "version=1.24"],
    arguments: [0, 0],
    flags: `advertise-addr:string autolock availability:string=active cert-expiry:duration=2160h0m0s data-path-addr:string@1.31
      data-path-port:uint32@1.40 default-addr-pool:ipNetSlice@1.39 default-addr-pool-mask-length:uint32=24@1.39
      dispatcher-heartbeat:duration=5s external-ca:external-ca force-new-cluster listen-addr:node-addr=0.0.0.0:2377
      max-snapshots:uint64@1.25 snapshot-interval:uint64=10000@1.25 task-history-limit:int64=5`,
  },
  "swarm join": {
    usage: "[OPTIONS] HOST:PORT",
    requires: ["swarm", "version=1.24"],
    arguments: [1, 1],
    flags: `advertise-addr:string availability:string=active data-path-addr:string@1.31 listen-addr:node-addr=0.0.0.0:2377 token:string`,
  },
  "swarm join-token": {
    usage: "[OPTIONS] (worker|manager)",
    requires: ["swarm=manager", "version=1.24"],
    arguments: [1, 1],
    flags: "quiet/q rotate",
  },
  "swarm leave": {
    usage: "[OPTIONS]",
    requires: ["swarm=active", "version=1.24"],
    arguments: [0, 0],
    flags: "force/f",
  },
  "swarm unlock": {
    requires: ["swarm=manager", "version=1.24"],
    arguments: [0, 0],
  },
  "swarm unlock-key": {
    usage: "[OPTIONS]",
    requires: ["swarm=manager", "version=1.24"],
    arguments: [0, 0],
    flags: "quiet/q rotate",
  },
  "swarm update": {
    usage: "[OPTIONS]",
    requires: ["swarm=manager", "version=1.24"],
    arguments: [0, 0],
    flags: `autolock cert-expiry:duration=2160h0m0s dispatcher-heartbeat:duration=5s external-ca:external-ca max-snapshots:uint64@1.25
      snapshot-interval:uint64=10000@1.25 task-history-limit:int64=5`,
  },
};
