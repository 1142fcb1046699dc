/** The commands below `system`, `context`, `builder`, `checkpoint`, `completion`, `login`, `logout`, `search`, `version`, `bake` and their flags; tree/types.ts says how an entry reads. */
import { BUILD } from "./image.ts";
import type { CommandTable } from "./types.ts";

export const COMMANDS: CommandTable = {
  bake: {
    usage: "[OPTIONS] [TARGET...]",
    requires: ["version=1.31"],
    arguments: [0, Infinity],
  },
  builder: {
    group: true,
    requires: ["version=1.31"],
  },
  "builder build": BUILD,
  "builder prune": {
    requires: ["version=1.39"],
    arguments: [0, 0],
    flags: "all/a filter:filter force/f keep-storage:bytes",
  },
  checkpoint: {
    group: true,
    requires: ["experimental", "version=1.25"],
  },
  "checkpoint create": {
    usage: "[OPTIONS] CONTAINER CHECKPOINT",
    arguments: [2, 2],
    flags: "checkpoint-dir:string leave-running",
  },
  "checkpoint ls": {
    aliases: ["list"],
    usage: "[OPTIONS] CONTAINER",
    arguments: [1, 1],
    flags: "checkpoint-dir:string",
  },
  "checkpoint rm": {
    aliases: ["remove"],
    usage: "[OPTIONS] CONTAINER CHECKPOINT",
    arguments: [2, 2],
    flags: "checkpoint-dir:string",
  },
  completion: {
    group: true,
  },
  "completion bash": {
    arguments: [0, 0],
    flags: "no-descriptions",
  },
  "completion fish": {
    usage: "[flags]",
    arguments: [0, 0],
    flags: "no-descriptions",
  },
  "completion powershell": {
    usage: "[flags]",
    arguments: [0, 0],
    flags: "no-descriptions",
  },
  "completion zsh": {
    usage: "[flags]",
    arguments: [0, 0],
    flags: "no-descriptions",
  },
  context: {
    group: true,
  },
  "context create": {
    usage: "[OPTIONS] CONTEXT",
    arguments: [1, 1],
    flags: "description:string docker:stringToString from:string",
  },
  "context export": {
    usage: "[OPTIONS] CONTEXT [FILE|-]",
    arguments: [1, 2],
  },
  "context import": {
    usage: "CONTEXT FILE|-",
    arguments: [2, 2],
  },
  "context inspect": {
    usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
    arguments: [0, Infinity],
    flags: "format/f:string",
  },
  "context ls": {
    aliases: ["list"],
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "format:string quiet/q",
  },
  "context rm": {
    aliases: ["remove"],
    usage: "CONTEXT [CONTEXT...]",
    arguments: [1, Infinity],
    flags: "force/f",
  },
  "context show": {
    arguments: [0, 0],
  },
  "context update": {
    usage: "[OPTIONS] CONTEXT",
    arguments: [1, 1],
    flags: "description:string docker:stringToString",
  },
  "context use": {
    usage: "CONTEXT",
    arguments: [1, 1],
    plain: true,
  },
  check: {
    arguments: [0, 0],
    flags: "format:string",
  },
  help: {
    usage: "[COMMAND]",
    arguments: [0, Infinity],
  },
  inspect: {
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    arguments: [1, Infinity],
    flags: "format/f:string size/s type:string",
  },
  login: {
    usage: "[OPTIONS] [SERVER]",
    arguments: [0, 1],
    flags: "password/p:string password-stdin username/u:string",
  },
  logout: {
    usage: "[SERVER]",
    arguments: [0, 1],
  },
  search: {
    usage: "[OPTIONS] TERM",
    arguments: [1, 1],
    flags: "filter/f:filter format:string limit:int no-trunc",
  },
  system: {
    group: true,
  },
  "system check": {
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "repair",
  },
  "system df": {
    usage: "[OPTIONS]",
    requires: ["version=1.25"],
    arguments: [0, 0],
    flags: "format:string verbose/v",
  },
  "system dial-stdio": {
    hidden: true,
    arguments: [0, 0],
  },
  "system events": {
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "audit filter/f:filter format:string since:string until:string",
  },
  "system info": {
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "format/f:string",
  },
  "system prune": {
    usage: "[OPTIONS]",
    requires: ["version=1.25"],
    arguments: [0, 0],
    flags: "all/a dry-run filter:filter@1.28 force/f state:string volumes",
  },
  version: {
    usage: "[OPTIONS]",
    arguments: [0, 0],
    flags: "format/f:string",
  },
};
